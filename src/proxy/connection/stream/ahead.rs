//! What is read of a client before Pingora asks for it: to see which protocol is
//! spoken, and whether the client is still there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::{ALPN, Peek};
use tokio::io::{AsyncRead, ReadBuf};

use super::Connection;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
    pub(super) fn read_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let ahead = &self.ahead[usize::from(self.ahead_at)..usize::from(self.ahead_end)];
        let count = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..count]);
        self.ahead_at += u8::try_from(count).unwrap_or(0);
    }

    /// Sees whether the client has gone while the backend is to answer. What it
    /// sends is its next request, which has to wait: to Pingora it would be an error of
    /// this one.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
