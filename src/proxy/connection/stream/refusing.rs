//! The end of a client whose header is not one, or does not come.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_trait::async_trait;
use pingora::protocols::{GetSocketDigest, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Connection;
use crate::proxy::answer::Reason;
use crate::proxy::connection::dialogue::Stage;
use crate::proxy::connection::refusal::{LINGER, refusal};

/// As many fields as Pingora's parser takes, and the line before them.
const MOST_FIELDS: usize = 257;

// === impl Connection ===

impl Connection {
    /// Answers a client in the middle of a header, and listens on for a while.
    pub(super) fn refuse(&mut self, reason: Reason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    pub(super) fn throw_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    pub(super) fn takes_answer(&mut self, cx: &mut Context<'_>) -> bool {
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
