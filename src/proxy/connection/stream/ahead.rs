//! What is read of a client before Pingora asks for it: to see which protocol is
//! spoken, and whether the client is still there.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::{ALPN, Peek, Ssl};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Connection, Wire};

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read ahead in one go, in bytes: most headers fit.
const MOST_AHEAD: usize = 1024;

// === impl Connection ===

impl Connection {
    /// Whether the client speaks HTTP/2: by ALPN, or without TLS by beginning with
    /// it. Waits for the first bytes if it must, and only for as many as it takes.
    /// `None` if the client says nothing in time, or goes.
    pub async fn speaks_http2(&mut self) -> Option<bool> {
        let terms = self.dialogue.terms();
        if terms.tls || !terms.http2 {
            return Some(matches!(self.inner.selected_alpn_proto(), Some(ALPN::H2)));
        }
        loop {
            let read = &self.ahead[..self.ahead.len().min(PREFACE.len())];
            if !PREFACE.starts_with(read) {
                return Some(false);
            }
            if read.len() == PREFACE.len() {
                return Some(true);
            }
            poll_fn(|cx| self.poll_ahead(cx)).await?;
        }
    }

    /// Waits until something of a request has come (HTTP/1). `None` if the client has
    /// gone; that it has may also show only when it is read from.
    pub async fn has_more(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        if self.ahead_at < self.ahead.len() {
            return Poll::Ready(Some(()));
        }
        let come = match &self.inner {
            // It is read into its place when that is there.
            Wire::Plain(socket) => socket.poll_readable(cx).map_ok(|()| 1),
            Wire::Secure(_) => self.read_more_ahead(cx),
        };
        match come {
            Poll::Ready(Ok(1..)) => Poll::Ready(Some(())),
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => self.wait_to_read(cx).map(|_| None),
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

    /// Reads what there is, up to a limit, behind what has been read ahead.
    fn read_more_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); MOST_AHEAD];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        self.ahead.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Gives out what was read ahead, if there is something.
    pub(super) fn read_ahead(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ahead = &self.ahead[self.ahead_at..];
        if ahead.is_empty() {
            return false;
        }
        let count = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..count]);
        self.ahead_at += count;
        if self.ahead_at == self.ahead.len() {
            (self.ahead, self.ahead_at) = (Vec::new(), 0);
        }
        true
    }

    /// Sees whether the client has gone while the backend is to answer. What it
    /// sends is its next request, which has to wait: to Pingora it would be an error of
    /// this one.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
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
