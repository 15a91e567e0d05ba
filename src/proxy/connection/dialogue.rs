//! What a connection's stream and the phases of its requests tell each other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pingora_proxy::Session;
use tokio::sync::watch;

use super::certificate::ClientCertificate;
use super::chunks::{Chunks, Malformed};
use super::{Peer, Terms};

/// Where the exchange on a connection stands. The phases find it by
/// [`Dialogue::of`].
#[derive(Debug)]
pub struct Dialogue {
    terms: Arc<Terms>,
    peer: Option<Peer>,
    client_certificate: Option<ClientCertificate>,
    stage: AtomicU8,
    /// Bytes read since the header began, those that came with its end included.
    header_bytes: AtomicUsize,
    requests: AtomicU32,
    /// Those of an HTTP/2 connection that have not ended.
    streams: AtomicU32,
    abandoned: AtomicU32,
    over: AtomicBool,
    chunked: Mutex<Chunked>,
    /// Tells an HTTP/2 connection to take no more requests.
    retiring: OnceLock<watch::Sender<bool>>,
}

/// What is waited for on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// The first byte of the first request.
    Opening,
    /// The first byte of another request.
    Idle,
    /// The rest of a header.
    Header,
    /// The rest of a body.
    Body,
    /// The rest of a body whose chunks are looked at.
    ChunkedBody,
    /// A body that the client sends once it is told to.
    ExpectedBody,
    /// The same body, though the answer has come without it.
    SparedBody,
    /// Nothing, unless the client goes away: it is the backend's turn.
    Answer,
    /// The client has been refused; what it still sends is thrown away.
    Refused,
    /// Anything: the connection is no longer HTTP.
    Tunnel,
    /// Anything: the frames of several requests at once.
    Multiplexed,
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// By its length.
    Sized,
    /// In chunks.
    Chunked,
    /// By its length, and it comes once a 100 (Continue) has been sent.
    Expected,
}

/// The chunks of a body are not framed as RFC 9112 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFraming;

#[derive(Debug, Default)]
struct Chunked {
    /// The last read of the header, whose end may be the beginning of a body.
    last: Vec<u8>,
    chunks: Chunks,
}

/// A request of an HTTP/2 connection that has not ended.
#[derive(Debug)]
pub struct OpenStream(Arc<Dialogue>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

// === impl Dialogue ===

impl Dialogue {
    pub(super) fn new(
        terms: Arc<Terms>,
        peer: Option<Peer>,
        client_certificate: Option<ClientCertificate>,
    ) -> Self {
        Self {
            terms,
            peer,
            client_certificate,
            stage: AtomicU8::new(Stage::Opening as u8),
            header_bytes: AtomicUsize::new(0),
            requests: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            abandoned: AtomicU32::new(0),
            over: AtomicBool::new(false),
            chunked: Mutex::default(),
            retiring: OnceLock::new(),
        }
    }

    /// That of the connection on which a request came.
    pub fn of(session: &Session) -> Option<&Self> {
        Self::shared(session).map(AsRef::as_ref)
    }

    fn shared(session: &Session) -> Option<&Arc<Self>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// Whether the client of a request talks TLS.
    pub fn is_secure(session: &Session) -> bool {
        Self::of(session).is_some_and(|dialogue| dialogue.terms.tls)
    }

    /// The terms on which the connection was accepted.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who is at the other end; `None` where it has no IP address.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The certificate that the client has shown, if it has.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    /// Whether several requests share the connection (HTTP/2).
    pub fn is_multiplexed(&self) -> bool {
        self.stage() == Stage::Multiplexed
    }

    /// Whether nothing more will come of the connection, so that whoever serves it
    /// should drop it.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// The header of a request has been read (HTTP/1): `length` bytes of it, before
    /// a body of this kind. Says whether the framing of the body is being watched;
    /// where it is not, no other request may follow on the connection.
    ///
    /// # Errors
    ///
    /// What came of the body with the header is malformed.
    pub fn header_read(&self, length: usize, body: Body) -> Result<bool, BadFraming> {
        let watched = match body {
            Body::Chunked => self.begin_chunks(length),
            _ => Ok(true),
        };
        self.set(match (body, watched) {
            (Body::None, _) | (_, Err(BadFraming)) => Stage::Answer,
            (Body::Chunked, Ok(true)) => Stage::ChunkedBody,
            (Body::Sized | Body::Chunked, _) => Stage::Body,
            (Body::Expected, _) => Stage::ExpectedBody,
        });
        watched
    }

    /// Counts a request, and says whether it is the last on its connection. An
    /// HTTP/2 connection is told so here; to close the others is up to the caller.
    pub fn count_request(&self) -> bool {
        let count = self.requests.fetch_add(1, Relaxed) + 1;
        self.retire_after(count, self.terms.limits.requests_per_connection.get())
    }

    /// The place of a request among those of its HTTP/2 connection, which it has until
    /// it is dropped; `None` for HTTP/1.
    pub fn stream(session: &Session) -> Option<OpenStream> {
        let dialogue = Self::shared(session).filter(|dialogue| dialogue.is_multiplexed())?;
        dialogue.streams.fetch_add(1, Relaxed);
        Some(OpenStream(Arc::clone(dialogue)))
    }

    /// How many requests have begun, and how many of an HTTP/2 connection have not ended.
    pub fn begun_and_open(&self) -> (u32, u32) {
        (self.requests.load(Relaxed), self.streams.load(Relaxed))
    }

    /// The whole body of the request has come (HTTP/1).
    pub fn body_read(&self) {
        use Stage as S;
        if matches!(self.stage(), S::Body | S::ChunkedBody | S::ExpectedBody | S::SparedBody) {
            self.set(Stage::Answer);
        }
    }

    /// An answer begins. A client that was to be told to send its body will not be
    /// told any more, but may send it all the same.
    pub fn answer_begins(&self) {
        if self.stage() == Stage::ExpectedBody {
            self.set(Stage::SparedBody);
        }
    }

    /// The connection has changed to another protocol, which has no requests.
    pub fn tunnel(&self) {
        if !self.is_multiplexed() {
            self.set(Stage::Tunnel);
        }
    }

    /// The answer has been sent; another request may come.
    pub fn next_request(&self) {
        if self.stage() == Stage::Answer {
            self.set(Stage::Idle);
        }
    }

    /// The client gave up a request before it was answered. One that does so again
    /// and again makes work for nothing (CVE-2023-44487), and an HTTP/2 connection
    /// lets it do so cheaply: it is told to take no more.
    pub fn request_abandoned(&self) {
        let count = self.abandoned.fetch_add(1, Relaxed) + 1;
        self.retire_after(count, self.terms.limits.http2_resets.get());
    }

    /// Tells the client to leave if it has had so many of something, and says whether it
    /// has. Until an HTTP/2 client has heard that, it may go on; but one that has not heard
    /// it after twice as many streams as it may have at once does not want to, and is cut
    /// off.
    fn retire_after(&self, count: u32, most: u32) -> bool {
        if count < most {
            return false;
        }
        self.retire();
        let grace = self.terms.limits.http2_streams.get().saturating_mul(2);
        if self.is_multiplexed() && count - most >= grace {
            self.end();
        }
        true
    }

    /// Several requests will share the connection (HTTP/2). The channel turns true
    /// when it shall take no more of them.
    pub fn multiplex(&self) -> watch::Receiver<bool> {
        self.set(Stage::Multiplexed);
        self.retiring.get_or_init(|| watch::channel(false).0).subscribe()
    }

    /// Tells an HTTP/2 connection to finish the requests that it has and to close.
    pub fn retire(&self) {
        if let Some(retiring) = self.retiring.get() {
            retiring.send_if_modified(|retiring| !std::mem::replace(retiring, true));
        }
    }

    pub(super) fn stage(&self) -> Stage {
        const ALL: [Stage; 11] = [
            Stage::Opening,
            Stage::Idle,
            Stage::Header,
            Stage::Body,
            Stage::ChunkedBody,
            Stage::ExpectedBody,
            Stage::SparedBody,
            Stage::Answer,
            Stage::Refused,
            Stage::Tunnel,
            Stage::Multiplexed,
        ];
        ALL[usize::from(self.stage.load(Relaxed))]
    }

    pub(super) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// A header begins with these bytes.
    pub(super) fn header_begins(&self, bytes: &[u8]) {
        self.set(Stage::Header);
        self.header_bytes.store(0, Relaxed);
        self.header_continues(bytes, true);
    }

    /// A header goes on with these bytes. They may hold the beginning of a chunked
    /// body too, which few methods have.
    pub(super) fn header_continues(&self, bytes: &[u8], first: bool) {
        self.header_bytes.fetch_add(bytes.len(), Relaxed);
        if first && matches!(bytes.first(), Some(b'G' | b'H')) {
            return;
        }
        let mut chunked = self.chunked.lock();
        chunked.last.clear();
        chunked.last.extend_from_slice(bytes);
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes.load(Relaxed)
    }

    /// Looks at more of a chunked body.
    pub(super) fn chunks(&self, bytes: &[u8]) -> Result<(), Malformed> {
        self.chunked.lock().chunks.feed(bytes)
    }

    fn begin_chunks(&self, length: usize) -> Result<bool, BadFraming> {
        let mut chunked = self.chunked.lock();
        let last = std::mem::take(&mut chunked.last);
        chunked.chunks = Chunks::default();
        let Some(early) = self.header_bytes().checked_sub(length) else { return Ok(false) };
        // A header that Pingora has rewritten (illegal bytes in the request line)
        // has another length than the one that was read.
        let Some((header, body)) = last.len().checked_sub(early).map(|end| last.split_at(end))
        else {
            return Ok(early == 0);
        };
        if !header.is_empty() && !header.ends_with(b"\n") {
            return Ok(false);
        }
        chunked.chunks.feed(body).map(|()| true).map_err(|Malformed| BadFraming)
    }
}
