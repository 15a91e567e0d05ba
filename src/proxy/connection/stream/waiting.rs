//! What is waited for on a connection, until when, and what happens then.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::Connection;
use crate::config::Rate;
use crate::proxy::answer::Reason;
use crate::proxy::connection::dialogue::Stage;
use crate::proxy::connection::refusal::LINGER;

// === impl Connection ===

impl Connection {
    /// Nothing has come; see whether it is too late for it to come.
    pub(super) fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limits = &self.dialogue.terms().limits;
        let stage = if self.lingers { Stage::Refused } else { self.dialogue.stage() };
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

    /// Nothing more will be read. Whoever serves the connection drops it; an error
    /// would only have Pingora write a line of log for each.
    pub(super) fn over(&mut self) -> Poll<io::Result<()>> {
        self.dialogue.end();
        Poll::Pending
    }

    /// Notes how a write went; see whether one that waits has waited too long.
    pub(super) fn written<T>(
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
