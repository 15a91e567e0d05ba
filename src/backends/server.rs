//! The life of the lab backends: bind, run on their own thread, stop.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use super::Site;
use super::connection::serve;
use super::frontage::Frontage;

/// How long a client may take to send the head of a request; an idle
/// keep-alive connection is closed after the same time.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);

/// Enough for many backends and clients on a small machine; the lab is not
/// to take the processors that the proxy under test needs.
const WORKER_THREADS: usize = 2;

/// Lab backends that run until they are stopped or dropped.
#[derive(Debug)]
pub struct LabBackends {
    addresses: Vec<(Site, SocketAddr)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Lab backends whose addresses are taken, but which do not answer yet.
///
/// Clients can connect already; they are answered after [`Bound::start`].
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    site: Site,
    address: SocketAddr,
    socket: TcpListener,
}

/// Some addresses could not be bound; none is held after that.
#[derive(Debug, Error)]
pub struct BindError {
    /// Every address that could not be bound, in the order asked for.
    pub failures: Vec<BindFailure>,
}

/// One address that could not be bound.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for {site}: {source}")]
pub struct BindFailure {
    /// The backend that was to listen there.
    pub site: Site,
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said, for example [`io::ErrorKind::AddrInUse`].
    pub source: io::Error,
}

// === impl LabBackends ===

impl LabBackends {
    /// Takes an address for each backend; port 0 is any free port.
    ///
    /// All addresses are tried, so that the error names each that is taken.
    pub fn bind(wanted: &[(Site, SocketAddr)]) -> Result<Bound, BindError> {
        let mut listeners = Vec::with_capacity(wanted.len());
        let mut failures = Vec::new();
        for &(site, address) in wanted {
            match Listener::bind(site, address) {
                Ok(listener) => listeners.push(listener),
                Err(source) => failures.push(BindFailure { site, address, source }),
            }
        }
        if failures.is_empty() { Ok(Bound { listeners }) } else { Err(BindError { failures }) }
    }

    /// Which backend listens where, in the order given to [`LabBackends::bind`].
    pub fn addresses(&self) -> Vec<(Site, SocketAddr)> {
        self.addresses.clone()
    }

    /// Closes every listener and connection, whatever is in flight, and
    /// returns when that is done.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for LabBackends {
    fn drop(&mut self) {
        // The thread ends at the word or when the sender is gone.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error is a panic in the thread, which has been printed.
            let _ = thread.join();
        }
    }
}

// === impl Bound ===

impl Bound {
    /// Which backend is to listen where, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<(Site, SocketAddr)> {
        self.listeners.iter().map(|listener| (listener.site, listener.address)).collect()
    }

    /// Starts to answer, on a thread of its own.
    ///
    /// # Errors
    ///
    /// The system gave no more threads or file descriptors.
    pub fn start(self) -> io::Result<LabBackends> {
        let addresses = self.addresses();
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name("lab-backends")
            .enable_all()
            .build()?;
        {
            let _inside = runtime.enter();
            for Listener { site, socket, .. } in self.listeners {
                let socket = tokio::net::TcpListener::from_std(socket)?;
                runtime.spawn(accept(socket, Frontage::new(site)));
            }
        }
        let (stop, stopped) = oneshot::channel();
        // A runtime must not be dropped inside another one, where whoever
        // holds `LabBackends` may be: so a thread owns it.
        let thread = thread::Builder::new()
            .name("lab-backends-main".to_owned())
            .spawn(move || run_until(runtime, stopped))?;
        Ok(LabBackends { addresses, stop: Some(stop), thread: Some(thread) })
    }
}

fn run_until(runtime: Runtime, stopped: oneshot::Receiver<()>) {
    // Either outcome is the word to stop.
    let _ = runtime.block_on(stopped);
    // Dropping it drops every task, and with the tasks their sockets. Nothing
    // here blocks a worker, so that takes no time worth a limit.
    drop(runtime);
}

// === impl Listener ===

impl Listener {
    fn bind(site: Site, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { site, address: socket.local_addr()?, socket })
    }
}

async fn accept(socket: tokio::net::TcpListener, frontage: Frontage) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(serve(stream, peer, frontage.clone(), HEADER_READ_TIMEOUT));
            }
            // One that went away before we took it is no concern of the next.
            // Out of descriptors: wait for some to be closed, don't spin.
            Err(error) => {
                tracing::debug!(%error, "a lab backend could not accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

// === impl BindError ===

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, failure) in self.failures.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{failure}")?;
        }
        Ok(())
    }
}
