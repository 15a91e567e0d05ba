//! One connection of a backend, from its acceptance to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::act::{Act, Afterwards};
use super::backend::Shared;
use super::chunked;
use super::head::{BodyFraming, Head, NotHttp};
use super::log::{Closed, Connected, Ending, Entry, Garbage, Received};
use super::recorder::Place;
use super::reply::Reply;
use super::wire::{DRAIN, Wire};

/// How much is kept of what is not HTTP/1.
const MOST_GARBAGE: usize = 64 * 1024;

/// Whether there may be a next request.
type Next = Result<(), Ending>;

/// Enters a connection in the log.
pub(super) fn begin(shared: &Shared, stream: Arc<TcpStream>, peer: SocketAddr) -> Wire {
    // An answer may go out in several pieces; waiting for acknowledgements
    // between them would add tens of milliseconds.
    let _ = stream.set_nodelay(true);
    let connection = shared.recorder.new_connection();
    let place = shared.recorder.enter(Entry::Connected(Connected {
        backend: Arc::clone(&shared.name),
        connection,
        peer,
        at: Instant::now(),
        bytes_received: 0,
    }));
    Wire {
        stream,
        input: BytesMut::new(),
        finished: false,
        backend: Arc::clone(&shared.name),
        connection,
        recorder: shared.recorder.clone(),
        place,
        reading: shared.reading.subscribe(),
        bytes_received: 0,
    }
}

/// Resets a connection that was just accepted.
pub(super) fn reset(wire: Wire) {
    wire.reset();
    end(wire, Ending::ResetByBackend);
}

/// Closes a connection that was just accepted.
pub(super) fn close(wire: Wire) {
    end(wire, Ending::ByBackend);
}

/// Serves a connection until it ends, or until the token ends it.
pub(super) async fn serve(wire: Wire, shared: Arc<Shared>, token: CancellationToken) {
    let mut conversation =
        Conversation { wire, shared, requests: 0, request: None, body: BytesMut::new() };
    let ending = tokio::select! {
        biased;
        () = token.cancelled() => Ending::ByBackend,
        ending = conversation.run() => ending,
    };
    conversation.keep_the_rest();
    if ending == Ending::ResetByBackend {
        conversation.wire.reset();
    }
    end(conversation.wire, ending);
}

fn end(wire: Wire, ending: Ending) {
    let Wire { stream, backend, connection, recorder, bytes_received, .. } = wire;
    drop(stream);
    let at = Instant::now();
    recorder.enter(Entry::Closed(Closed { backend, connection, at, ending, bytes_received }));
}

/// The requests of a connection and their answers.
struct Conversation {
    wire: Wire,
    shared: Arc<Shared>,
    requests: usize,
    /// The request whose body is awaited: where the log has it.
    request: Option<Place>,
    /// What came of that body.
    body: BytesMut,
}

// === impl Conversation ===

impl Conversation {
    async fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.exchange().await {
                return ending;
            }
        }
    }

    async fn exchange(&mut self) -> Next {
        let head = match self.head().await {
            Ok(head) => head?,
            Err(NotHttp) => return self.garbage().await,
        };
        let framing = head.framing();
        let mut received = self.enter(&head, framing);
        let early = self.shared.early_act(&received);
        let without_body = framing == Ok(BodyFraming::Length(0));
        let mut kept = head.keeps_the_connection();
        let act = match (early, framing) {
            (Some(act), _) => {
                kept &= without_body;
                act
            }
            (None, Err(_)) => Act::Answer(Reply::new(400).close()),
            (None, Ok(framing)) => {
                if !without_body {
                    if head.expects_continue() {
                        self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                    }
                    if let Err(error) = self.body(framing, &mut received).await? {
                        self.fail(error);
                        return self.answer(&received.method, &Reply::new(400).close()).await;
                    }
                }
                self.shared.act(&received)
            }
        };
        self.act(act, &received.method).await?;
        if kept { Ok(()) } else { self.closed().await }
    }

    /// The next head.
    async fn head(&mut self) -> Result<Result<Head, Ending>, NotHttp> {
        loop {
            if let Some(head) = Head::take(&mut self.wire.input)? {
                return Ok(Ok(head));
            }
            if self.wire.finished {
                return Ok(Err(self.left()));
            }
            if let Err(error) = self.wire.read().await {
                let _ = self.left();
                return Ok(Err(broken(&error)));
            }
        }
    }

    /// The peer has closed; what it sent and did not complete is no request.
    fn left(&mut self) -> Ending {
        if !self.wire.input.is_empty() {
            let bytes = self.wire.input.split();
            self.enter_garbage(&bytes);
        }
        Ending::ByPeer
    }

    /// Enters a request in the log.
    fn enter(&mut self, head: &Head, framing: Result<BodyFraming, &'static str>) -> Received {
        self.requests += 1;
        let at = Instant::now();
        let complete = framing == Ok(BodyFraming::Length(0));
        let received = Received {
            backend: Arc::clone(&self.wire.backend),
            connection: self.wire.connection,
            nth_on_connection: self.requests,
            method: head.method.clone(),
            target: head.target.clone(),
            minor_version: head.minor_version,
            headers: head.headers.clone(),
            raw_head: head.raw.clone(),
            body: Bytes::new(),
            body_bytes: 0,
            trailers: Vec::new(),
            complete,
            framing_error: framing.err(),
            at,
            body_done_at: complete.then_some(at),
        };
        let place = self.wire.recorder.enter(Entry::Received(received.clone()));
        if !complete {
            self.request = Some(place);
        }
        received
    }

    fn update(&self, change: impl FnOnce(&mut Received)) {
        let Some(place) = self.request else { return };
        self.wire.recorder.update(place, |entry| {
            if let Entry::Received(received) = entry {
                change(received);
            }
        });
    }

    /// Reads the body. The inner error is one of the framing.
    async fn body(
        &mut self,
        framing: BodyFraming,
        received: &mut Received,
    ) -> Result<Result<(), &'static str>, Ending> {
        let mut decoder = chunked::Decoder::default();
        loop {
            let complete = match framing {
                BodyFraming::Chunked => {
                    match decoder.decode(&mut self.wire.input, &mut self.body) {
                        Ok(complete) => complete,
                        Err(error) => return Ok(Err(error)),
                    }
                }
                BodyFraming::Length(length) => {
                    let left = usize::try_from(length).unwrap_or(usize::MAX) - self.body.len();
                    let taken = left.min(self.wire.input.len());
                    self.body.unsplit(self.wire.input.split_to(taken));
                    taken == left
                }
            };
            if complete {
                received.body = self.body.split().freeze();
                received.body_bytes = received.body.len();
                received.trailers = decoder.trailers;
                received.complete = true;
                received.body_done_at = Some(Instant::now());
                self.update(|entry| *entry = received.clone());
                self.request = None;
                return Ok(Ok(()));
            }
            let bytes = self.body.len();
            self.update(|entry| entry.body_bytes = bytes);
            match self.wire.read().await {
                Ok(true) => {}
                Ok(false) => return Err(Ending::ByPeer),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    fn fail(&mut self, error: &'static str) {
        self.update(|entry| entry.framing_error = Some(error));
    }

    /// Gives the log what came of a body that ended too early.
    fn keep_the_rest(&mut self) {
        let body = self.body.split().freeze();
        self.update(|entry| {
            entry.body_bytes = body.len();
            entry.body = body;
        });
    }

    /// Answers what is not HTTP/1 as servers do, and keeps it.
    async fn garbage(&mut self) -> Next {
        let bytes = self.wire.input.split();
        let place = self.enter_garbage(&bytes);
        let mut all = bytes;
        self.write(&Reply::new(400).close().to_bytes("GET")).await?;
        self.wire.finish();
        let deadline = Instant::now() + DRAIN;
        loop {
            match self.wire.read_until(deadline).await {
                Ok(true) => {}
                Ok(false) => return Err(Ending::ByBackend),
                Err(error) => return Err(broken(&error)),
            }
            let room = MOST_GARBAGE.saturating_sub(all.len()).min(self.wire.input.len());
            all.extend_from_slice(&self.wire.input[..room]);
            self.wire.input.clear();
            let bytes = Bytes::copy_from_slice(&all);
            self.wire.recorder.update(place, |entry| {
                if let Entry::Garbage(garbage) = entry {
                    garbage.bytes = bytes;
                }
            });
        }
    }

    fn enter_garbage(&self, bytes: &[u8]) -> Place {
        self.wire.recorder.enter(Entry::Garbage(Garbage {
            backend: Arc::clone(&self.wire.backend),
            connection: self.wire.connection,
            bytes: Bytes::copy_from_slice(&bytes[..bytes.len().min(MOST_GARBAGE)]),
            at: Instant::now(),
        }))
    }

    async fn act(&mut self, act: Act, method: &str) -> Next {
        match act {
            Act::Answer(reply) => self.answer(method, &reply).await,
            Act::Delay(time, act) => {
                self.wait(tokio::time::sleep(time)).await?;
                Box::pin(self.act(*act, method)).await
            }
            Act::Hold(gate, reply) => {
                self.wait(gate.pass()).await?;
                self.answer(method, &reply).await
            }
            Act::Drip { reply, chunk, every } => {
                for (index, piece) in reply.to_bytes(method).chunks(chunk.max(1)).enumerate() {
                    if index > 0 {
                        self.wait(tokio::time::sleep(every)).await?;
                    }
                    self.write(piece).await?;
                }
                self.after(&reply).await
            }
            Act::Hang => {
                let hung = self.wire.hang().await;
                Err(hung.map_or_else(|error| broken(&error), |()| Ending::ByPeer))
            }
            Act::ResetBeforeAnswer => Err(Ending::ResetByBackend),
            Act::ResetInside { reply, after_bytes } => {
                let bytes = reply.to_bytes(method);
                self.write(&bytes[..after_bytes.min(bytes.len())]).await?;
                Err(Ending::ResetByBackend)
            }
            Act::Part { reply, bytes, pause, then } => {
                let whole = reply.to_bytes(method);
                self.write(&whole[..bytes.min(whole.len())]).await?;
                self.wait(tokio::time::sleep(pause)).await?;
                self.afterwards(then).await
            }
            Act::CloseBeforeAnswer => self.closed().await,
            Act::Raw(bytes, then) => {
                self.write(&bytes).await?;
                self.afterwards(then).await
            }
        }
    }

    async fn afterwards(&mut self, then: Afterwards) -> Next {
        match then {
            Afterwards::Keep => Ok(()),
            Afterwards::Close => self.closed().await,
            Afterwards::Reset => Err(Ending::ResetByBackend),
        }
    }

    async fn answer(&mut self, method: &str, reply: &Reply) -> Next {
        self.write(&reply.to_bytes(method)).await?;
        self.after(reply).await
    }

    async fn after(&mut self, reply: &Reply) -> Next {
        if reply.ends_the_connection() { self.closed().await } else { Ok(()) }
    }

    async fn closed(&mut self) -> Next {
        self.wire.close().await;
        Err(Ending::ByBackend)
    }

    async fn write(&self, bytes: &[u8]) -> Next {
        self.wire.write(bytes).await.map_err(|error| broken(&error))
    }

    async fn wait(&mut self, event: impl Future<Output = ()>) -> Next {
        self.wire.wait(event).await.map_err(|error| broken(&error))
    }
}

/// How a connection ended that an error ended: whatever the system calls it, the
/// peer is no longer there.
fn broken(_: &io::Error) -> Ending {
    Ending::ResetByPeer
}
