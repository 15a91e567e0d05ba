//! The stream that Pingora reads and writes instead of a client's socket.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::certificate::ClientCertificate;
use super::dialogue::{Dialogue, Stage};
use super::pace::Pace;
use super::refusal::refusal;
use super::request_line::RequestLine;
use super::timer::Timer;
use super::{Peer, Terms};
use crate::config::Rate;
use crate::proxy::answer::Reason;
use crate::proxy::witness::Witness;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client that has been refused is listened to: closing a socket with
/// unread bytes resets it, and the reset can overtake the answer (RFC 9112,
/// section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// As many fields as Pingora's parser takes, and the line before them.
const MOST_FIELDS: usize = 257;

/// A client's connection, with the limits of its [`Terms`].
///
/// A limit that passes inside a body or an answer is an error of kind
/// [`TimedOut`](io::ErrorKind::TimedOut). Before that there is no request that could fail: the
/// client is answered here, if it has begun one, and [`Dialogue::is_over`] says so.
pub struct Connection {
    inner: Stream,
    dialogue: Arc<Dialogue>,
    digest: Arc<ProxyDigest>,
    witness: Witness,
    opened: Instant,
    /// When what is waited for now began to be: a header, or the time without one.
    since: Option<Instant>,
    /// What has been read to see which protocol is spoken, or whether the client is
    /// still there.
    ahead: [u8; PREFACE.len()],
    ahead_at: u8,
    ahead_end: u8,
    /// Whether the preface of HTTP/2 has come.
    greeted: bool,
    line: RequestLine,
    /// Lines of the header so far.
    lines: usize,
    reading: Pace,
    writing: Pace,
    /// Whether something was written that no flush has followed.
    unflushed: bool,
    read_timer: Timer,
    write_timer: Timer,
}

impl Connection {
    /// Takes over an accepted connection, after any TLS handshake. `witness` is told of
    /// requests that are refused here.
    ///
    /// # Errors
    ///
    /// None in practice: Pingora could not make an empty header.
    pub fn new(inner: Stream, terms: Arc<Terms>, witness: Witness) -> pingora::Result<Self> {
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
            ahead: [0; PREFACE.len()],
            ahead_at: 0,
            ahead_end: 0,
            greeted: false,
            line: RequestLine::default(),
            lines: 0,
            reading: Pace::default(),
            writing: Pace::default(),
            unflushed: false,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
        })
    }

    /// What this stream and the phases share.
    pub fn dialogue(&self) -> &Arc<Dialogue> {
        &self.dialogue
    }

    /// Whether the client speaks HTTP/2: by ALPN, or without TLS by beginning with
    /// it. Waits for the first bytes if it must, and only for as many as it takes.
    /// `None` if the client says nothing in time, or goes.
    pub async fn speaks_http2(&mut self) -> Option<bool> {
        let terms = self.dialogue.terms();
        if terms.tls || !terms.http2 {
            return Some(matches!(self.inner.selected_alpn_proto(), Some(ALPN::H2)));
        }
        loop {
            let read = &self.ahead[..usize::from(self.ahead_end)];
            if !PREFACE.starts_with(read) {
                return Some(false);
            }
            if read.len() == PREFACE.len() {
                return Some(true);
            }
            poll_fn(|cx| self.poll_ahead(cx)).await?;
        }
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        match self.read_more_ahead(cx) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Some(())),
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => {
                let deadline = self.opened + self.dialogue.terms().limits.header_timeout.get();
                self.read_timer.poll(deadline, cx).map(|()| None)
            }
        }
    }

    /// Reads what fits behind what has been read ahead.
    fn read_more_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u8>> {
        let mut buf = ReadBuf::new(&mut self.ahead[usize::from(self.ahead_end)..]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        // No more than fits, which is 24.
        let count = u8::try_from(buf.filled().len()).unwrap_or(0);
        self.ahead_end += count;
        Poll::Ready(Ok(count))
    }

    /// Gives out what was read ahead.
    fn read_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let ahead = &self.ahead[usize::from(self.ahead_at)..usize::from(self.ahead_end)];
        let count = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..count]);
        self.ahead_at += u8::try_from(count).unwrap_or(0);
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

    /// Nothing has come; see whether it is too late for it to come.
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limits = &self.dialogue.terms().limits;
        let stage = self.dialogue.stage();
        let deadline = match stage {
            Stage::Opening => self.opened + limits.header_timeout.get(),
            Stage::Idle => *self.since.get_or_insert_with(Instant::now) + limits.idle_timeout.get(),
            Stage::Header => {
                *self.since.get_or_insert_with(Instant::now) + limits.header_timeout.get()
            }
            Stage::Body | Stage::ChunkedBody => {
                self.reading.deadline(limits.body_timeout, limits.body_rate)
            }
            Stage::SparedBody => {
                *self.since.get_or_insert_with(Instant::now) + limits.body_timeout.get()
            }
            Stage::Refused => *self.since.get_or_insert_with(Instant::now) + LINGER,
            Stage::Multiplexed if !self.greeted => self.opened + limits.header_timeout.get(),
            Stage::Answer | Stage::ExpectedBody | Stage::Tunnel | Stage::Multiplexed => {
                self.since = None;
                return Poll::Pending;
            }
        };
        ready!(self.read_timer.poll(deadline, cx));
        match stage {
            Stage::Body | Stage::ChunkedBody | Stage::SparedBody => {
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the body does not come, or comes too slowly",
                )))
            }
            Stage::Header => self.refuse(Reason::ClientTimeout, cx),
            _ => self.over(),
        }
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

    /// Sees whether the client has gone while the backend is to answer. What it
    /// sends is its next request, which has to wait: to Pingora it would be an error of
    /// this one.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead_at == self.ahead_end {
            (self.ahead_at, self.ahead_end) = (0, 0);
            match self.read_more_ahead(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
        }
        self.send_what_waits(cx);
        self.since = None;
        Poll::Pending
    }

    /// Answers a client in the middle of a header, and listens on for a while.
    fn refuse(&mut self, reason: Reason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let begun = self.since.unwrap_or(self.opened);
        self.witness.unread(self.client(), reason, begun.elapsed());
        // A client that does not even take this has had its answer.
        let answer = refusal(reason);
        if let Poll::Ready(Ok(_)) = Pin::new(&mut self.inner).poll_write(cx, &answer) {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
            let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
        }
        self.dialogue.set(Stage::Refused);
        self.since = None;
        self.throw_away(cx)
    }

    /// Reads on until the client has gone or its time is over.
    fn throw_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 1024];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return self.over(),
                Poll::Pending => return self.wait_to_read(cx),
            }
            // What never stops coming must not keep the thread either.
            if self.since.is_some_and(|since| since.elapsed() > LINGER) {
                return self.over();
            }
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes Pingora's own answer to a header that its parser refuses, and sends ours
    /// in its place. All others come when the phases have seen the header.
    fn takes_answer(&mut self, cx: &mut Context<'_>) -> bool {
        match self.dialogue.stage() {
            Stage::Header => {
                let many = self.lines > MOST_FIELDS;
                let reason = if many { Reason::HeaderTooLarge } else { Reason::BadRequest };
                let _ = self.refuse(reason, cx);
                true
            }
            Stage::Refused => true,
            _ => false,
        }
    }

    fn client(&self) -> Option<SocketAddr> {
        let digest = self.inner.get_socket_digest()?;
        digest.peer_addr()?.as_inet().copied()
    }

    /// Nothing more will be read. Whoever serves the connection drops it; an error
    /// would only have Pingora write a line of log for each.
    fn over(&mut self) -> Poll<io::Result<()>> {
        self.dialogue.end();
        Poll::Pending
    }

    /// Notes how a write went; see whether one that waits has waited too long.
    fn written<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Ok(done)) => {
                self.writing.moved(bytes(&done));
                if self.dialogue.stage() == Stage::SparedBody {
                    // The time for it begins when the answer has ended.
                    self.since = None;
                }
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let limits = &self.dialogue.terms().limits;
                // Many answers share one connection, or none do.
                let least = match self.dialogue.stage() {
                    Stage::Tunnel | Stage::Multiplexed => Rate::OFF,
                    _ => limits.answer_rate,
                };
                let deadline = self.writing.deadline(limits.write_timeout, least);
                self.write_timer.poll(deadline, cx).map(|()| {
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the client takes nothing, or too slowly",
                    ))
                })
            }
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
        if this.ahead_at < this.ahead_end {
            this.read_ahead(buf);
        }
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
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
        let result = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.written(result, |()| 0, cx)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // That the client has gone first is no news.
        let _ = AsyncWriteExt::shutdown(self).await;
        if self.dialogue.stage() == Stage::Refused {
            // Until nothing more comes of it, which whoever serves it sees.
            let _ = poll_fn(|cx| self.throw_away(cx)).await;
        }
    }
}

#[async_trait]
impl Peek for Connection {
    /// The preface of HTTP/2 or none, as [`Connection::speaks_http2`] has found.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        buf.fill(0);
        if self.dialogue.is_multiplexed()
            && let Some(buf) = buf.get_mut(..PREFACE.len())
        {
            buf.copy_from_slice(PREFACE);
        }
        Ok(true)
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Connection {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stage", &self.dialogue.stage()).finish_non_exhaustive()
    }
}
