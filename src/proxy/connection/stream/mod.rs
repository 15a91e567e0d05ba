//! The stream that Pingora reads and writes instead of a client's socket.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `ahead` | what is read before Pingora asks, and which protocol that shows |
//! | `waiting` | how long is waited, and what happens then |
//! | `refusing` | how a client ends that has not sent a header that is one |
//! | `digests` | what Pingora is told about the socket |

mod ahead;
mod digests;
mod refusing;
mod waiting;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::TlsRef;
use pingora::protocols::{GetSocketDigest, Ssl};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::certificate::ClientCertificate;
use super::dialogue::{Dialogue, Stage};
use super::pace::Pace;
use super::request_line::RequestLine;
use super::timer::Timer;
use super::{Peer, Terms, Wire};
use crate::proxy::answer::Reason;
use crate::proxy::witness::Witness;

/// A client's connection, with the limits of its [`Terms`].
///
/// A limit that passes inside a body or an answer is an error of kind
/// [`TimedOut`](io::ErrorKind::TimedOut). Before that there is no request that could fail: the
/// client is answered here, if it has begun one, and [`Dialogue::is_over`] says so.
pub struct Connection {
    inner: Wire,
    dialogue: Arc<Dialogue>,
    digest: Arc<ProxyDigest>,
    witness: Witness,
    opened: Instant,
    /// When what is waited for now began to be: a header, or the time without one.
    since: Option<Instant>,
    /// What has been read to see which protocol is spoken, or whether the client is
    /// still there.
    ahead: Vec<u8>,
    /// How much of that has been given out.
    ahead_at: usize,
    /// Whether the preface of HTTP/2 has come.
    greeted: bool,
    line: RequestLine,
    /// Lines of the header so far.
    lines: usize,
    reading: Pace,
    writing: Pace,
    /// Whether something was written that no flush has followed.
    unflushed: bool,
    /// Whether all has been said, and what the client still says is thrown away.
    lingers: bool,
    read_timer: Timer,
    write_timer: Timer,
}

// === impl Connection ===

impl Connection {
    /// Takes over an accepted connection, after any TLS handshake. `witness` is told of
    /// requests that are refused here.
    ///
    /// # Errors
    ///
    /// None in practice: Pingora could not make an empty header.
    pub fn new(inner: Wire, terms: Arc<Terms>, witness: Witness) -> pingora::Result<Self> {
        let socket = inner.get_socket_digest();
        let address = socket.as_ref().and_then(|socket| socket.peer_addr()?.as_inet());
        let peer = address.map(|address| Peer::from(address.ip()));
        let shown = terms.client_certificates.then(|| inner.get_ssl()).flatten();
        let shown = shown.and_then(TlsRef::peer_certificate_der);
        let shown = shown.and_then(ClientCertificate::of);
        let dialogue = Arc::new(Dialogue::new(terms, peer, shown));
        // The one thing of a connection that Pingora shows to the phases of both
        // HTTP/1 and HTTP/2, and that can hold data of our own.
        let header = Box::new(ResponseHeader::build(200, Some(0))?);
        let digest = ProxyDigest::new(header, Some(Box::new(Arc::clone(&dialogue))));
        Ok(Self {
            inner,
            dialogue,
            digest: Arc::new(digest),
            witness,
            opened: Instant::now(),
            since: None,
            ahead: Vec::new(),
            ahead_at: 0,
            greeted: false,
            line: RequestLine::default(),
            lines: 0,
            reading: Pace::default(),
            writing: Pace::default(),
            unflushed: false,
            lingers: false,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
        })
    }

    /// What this stream and the phases share.
    pub fn dialogue(&self) -> &Arc<Dialogue> {
        &self.dialogue
    }

    /// Whether these bytes of a header cannot be the beginning of one.
    fn is_odd(&mut self, bytes: &[u8]) -> bool {
        match self.dialogue.stage() {
            Stage::Opening | Stage::Idle => {
                self.line = RequestLine::default();
                self.lines = 0;
            }
            Stage::Header => {}
            _ => return false,
        }
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        self.line.feed(bytes).is_err()
    }

    /// These bytes have come.
    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.dialogue.stage() {
            stage @ (Stage::Opening | Stage::Idle) => {
                // The first header has from the beginning of the connection on.
                self.since = (stage == Stage::Opening).then_some(self.opened);
                self.reading = Pace::default();
                self.writing = Pace::default();
                self.dialogue.header_begins(bytes);
            }
            Stage::Header => self.dialogue.header_continues(bytes, false),
            Stage::Body => self.reading.moved(bytes.len()),
            Stage::ExpectedBody | Stage::SparedBody => {
                self.dialogue.set(Stage::Body);
                self.reading.moved(bytes.len());
            }
            Stage::ChunkedBody => {
                self.reading.moved(bytes.len());
                self.dialogue.chunks(bytes).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the chunks of the body are malformed",
                    )
                })?;
            }
            Stage::Multiplexed => self.greeted = true,
            Stage::Answer | Stage::Refused | Stage::Tunnel => {}
        }
        Ok(())
    }

    /// Pingora keeps an answer with a length in a buffer until it is full or the
    /// answer whole. It listens to the client only when it has nothing to write, so
    /// whatever waits then would wait for the backend: a slow stream would not flow.
    fn send_what_waits(&mut self, cx: &mut Context<'_>) {
        if self.unflushed && self.dialogue.stage() == Stage::Answer {
            // An error shows itself to the next write.
            self.unflushed = Pin::new(&mut self.inner).poll_flush(cx).is_pending();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.dialogue.stage() {
            // Pingora asks for more only while the header has not ended.
            Stage::Header
                if this.dialogue.header_bytes() as u64
                    >= this.dialogue.terms().limits.header_size.get() =>
            {
                return this.refuse(Reason::HeaderTooLarge, cx);
            }
            Stage::Answer => return this.watch(cx),
            Stage::Refused => return this.throw_away(cx),
            _ => {}
        }
        let before = buf.filled().len();
        let result = match this.read_ahead(buf) {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut this.inner).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            if this.is_odd(&buf.filled()[before..]) {
                buf.set_filled(before);
                return this.refuse(Reason::BadRequest, cx);
            }
            return Poll::Ready(this.received(&buf.filled()[before..]));
        }
        match result {
            Poll::Pending => {
                this.send_what_waits(cx);
                this.wait_to_read(cx)
            }
            ready => ready,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.takes_answer(cx) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.unflushed = true;
        this.written(result, |count| *count, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.takes_answer(cx) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.unflushed = true;
        this.written(result, |count| *count, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        this.unflushed &= result.is_pending();
        this.written(result, |()| 0, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.lingers {
            let result = Pin::new(&mut this.inner).poll_shutdown(cx);
            let result = this.written(result, |()| 0, cx);
            if this.dialogue.stage() != Stage::Multiplexed {
                return result;
            }
            ready!(result)?;
            // A client of HTTP/2 speaks while it is answered: it makes room for more. What
            // it says to a closed socket is answered with a reset, which takes what it has
            // not read yet of its answer with it.
            this.lingers = true;
            this.since = None;
        }
        this.throw_away(cx)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stage", &self.dialogue.stage()).finish_non_exhaustive()
    }
}
