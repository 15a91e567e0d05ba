//! A backend: its port, its connections and its behaviour.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::act::{Act, Behaviour, EarlyBehaviour};
use super::connection;
use super::log::Received;
use super::recorder::Recorder;
use super::reply::Reply;
use super::socket::Port;

/// A backend on a port of 127.0.0.1 that is its own until it is dropped,
/// whether it listens or not. Dropping it closes the port and all connections.
///
/// It runs on the tokio runtime within which it was started.
pub struct RecordingBackend {
    shared: Arc<Shared>,
}

/// What the backend, its acceptor and its connections share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) recorder: Recorder,
    behaviour: RwLock<Behaviour>,
    early: RwLock<Option<EarlyBehaviour>>,
    pub(super) reading: watch::Sender<bool>,
    port: Port,
    life: Mutex<Life>,
}

struct Life {
    /// Ends the acceptor; `None` while connects are refused.
    listening: Option<CancellationToken>,
    /// The connections, each with what ends it.
    open: Vec<(Weak<TcpStream>, CancellationToken)>,
    reset_on_accept: bool,
}

/// What becomes of a connection that was accepted.
enum Admission {
    Serve(CancellationToken),
    Reset,
    Close,
}

// === impl RecordingBackend ===

impl RecordingBackend {
    /// A backend that listens on a free port of 127.0.0.1, outside the range of
    /// the ports of outgoing connections, and answers every request with 200 and
    /// its name.
    pub fn start(recorder: &Recorder, name: impl Into<String>) -> io::Result<Self> {
        let backend = Self::refusing(recorder, name)?;
        backend.listen()?;
        Ok(backend)
    }

    /// The same on this address; an error if somebody else has it.
    pub fn start_at(
        recorder: &Recorder,
        name: impl Into<String>,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let backend = Self::on(Port::at(address)?, recorder, name.into());
        backend.listen()?;
        Ok(backend)
    }

    /// A backend whose port is taken, but which refuses connections until
    /// [`RecordingBackend::listen`].
    pub fn refusing(recorder: &Recorder, name: impl Into<String>) -> io::Result<Self> {
        Ok(Self::on(Port::free()?, recorder, name.into()))
    }

    fn on(port: Port, recorder: &Recorder, name: String) -> Self {
        let reply = Reply::ok(name.clone());
        let (reading, _) = watch::channel(true);
        let shared = Shared {
            name: name.into(),
            recorder: recorder.clone(),
            behaviour: RwLock::new(Arc::new(move |_| Act::Answer(reply.clone()))),
            early: RwLock::new(None),
            reading,
            port,
            life: Mutex::new(Life { listening: None, open: Vec::new(), reset_on_accept: false }),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its name, as the log has it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.shared.port.address()
    }

    /// Does this with every request whose last byte comes from now on.
    pub fn set(&self, behaviour: Behaviour) {
        *self.shared.behaviour.write() = behaviour;
    }

    /// [`RecordingBackend::set`] for a closure.
    pub fn set_to(&self, behaviour: impl Fn(&Received) -> Act + Send + Sync + 'static) {
        self.set(Arc::new(behaviour));
    }

    /// Does the same with every request from now on.
    pub fn always(&self, act: Act) {
        self.set_to(move |_| act.clone());
    }

    /// Decides at the head of a request, before its body is read (or asked for,
    /// if the client waits for `100 Continue`). Where this does not return
    /// `None`, the body is not read, and unless the request has none the
    /// connection is closed behind the answer.
    pub fn set_early(&self, early: Option<EarlyBehaviour>) {
        *self.shared.early.write() = early;
    }

    /// Refuses connections from now on, and closes those that are open. The port
    /// stays its own.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot stop listening.
    pub fn refuse(&self) -> io::Result<()> {
        self.shared.refuse()
    }

    /// Accepts connections from now on, on the same port.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot listen.
    pub fn listen(&self) -> io::Result<()> {
        let mut life = self.shared.life.lock();
        if life.listening.is_none() {
            let token = CancellationToken::new();
            let listener = self.shared.port.listen()?;
            life.listening = Some(token.clone());
            tokio::spawn(accept(listener, Arc::clone(&self.shared), token));
        }
        Ok(())
    }

    /// Whether it resets every new connection as soon as it is accepted.
    pub fn reset_on_accept(&self, reset: bool) {
        self.shared.life.lock().reset_on_accept = reset;
    }

    /// Accepts connections but reads nothing from them, nor from those that are
    /// open, until [`RecordingBackend::resume_reading`]. So it does not see
    /// that a peer leaves, either.
    pub fn stop_reading(&self) {
        self.shared.reading.send_replace(false);
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.shared.reading.send_replace(true);
    }

    /// Closes the connections that are open, and goes on accepting others.
    pub fn close_connections(&self) {
        let mut life = self.shared.life.lock();
        life.close_connections();
    }
}

impl Drop for RecordingBackend {
    fn drop(&mut self) {
        // If it fails, it ends with the acceptor.
        let _ = self.shared.refuse();
    }
}

impl fmt::Debug for RecordingBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}", self.name(), self.address())
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn act(&self, received: &Received) -> Act {
        let behaviour = Arc::clone(&self.behaviour.read());
        behaviour(received)
    }

    pub(super) fn early_act(&self, received: &Received) -> Option<Act> {
        let early = self.early.read().clone();
        early.and_then(|early| early(received))
    }

    fn refuse(&self) -> io::Result<()> {
        let mut life = self.life.lock();
        if let Some(token) = life.listening.take() {
            let refused = self.port.refuse();
            token.cancel();
            life.close_connections();
            return refused;
        }
        Ok(())
    }

    fn admit(&self, stream: &Arc<TcpStream>, token: &CancellationToken) -> Admission {
        let mut life = self.life.lock();
        if token.is_cancelled() {
            return Admission::Close;
        }
        if life.reset_on_accept {
            return Admission::Reset;
        }
        life.open.retain(|(stream, _)| stream.strong_count() > 0);
        let ends = CancellationToken::new();
        life.open.push((Arc::downgrade(stream), ends.clone()));
        Admission::Serve(ends)
    }
}

// === impl Life ===

impl Life {
    fn close_connections(&mut self) {
        for (stream, ends) in self.open.drain(..) {
            ends.cancel();
            let Some(stream) = stream.upgrade() else { continue };
            // At once, whenever its task may come to see that it is over. If it fails, the connection is over already.
            let _ = SockRef::from(&*stream).shutdown(Shutdown::Both);
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, token: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = token.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Refused meanwhile, or a connection that was gone before it was
            // accepted; the next round tells.
            tokio::task::yield_now().await;
            continue;
        };
        let stream = Arc::new(stream);
        let admission = shared.admit(&stream, &token);
        let begun = connection::begin(&shared, stream, peer);
        match admission {
            Admission::Serve(token) => {
                tokio::spawn(connection::serve(begun, Arc::clone(&shared), token));
            }
            Admission::Reset => connection::reset(begun),
            Admission::Close => connection::close(begun),
        }
    }
}
