//! The bytes of one connection, each of them counted.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::log::{ConnectionId, Entry, PeerFinished};
use super::recorder::{Place, Recorder};

/// How many bytes are read ahead while an answer is awaited.
const READ_AHEAD: usize = 64 * 1024;
/// How long a connection that was closed behind an answer may still bring bytes.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// One connection.
pub(super) struct Wire {
    pub(super) stream: Arc<TcpStream>,
    /// What was read and not yet taken.
    pub(super) input: BytesMut,
    /// Whether the peer has closed its sending side.
    pub(super) finished: bool,
    pub(super) backend: Arc<str>,
    pub(super) connection: ConnectionId,
    pub(super) recorder: Recorder,
    /// Where the log has the connection.
    pub(super) place: Place,
    /// Whether the backend reads.
    pub(super) reading: watch::Receiver<bool>,
    pub(super) bytes_received: u64,
}

// === impl Wire ===

impl Wire {
    /// Reads more into `input`; false when there will be no more.
    pub(super) async fn read(&mut self) -> io::Result<bool> {
        loop {
            // The sender goes away with the backend, and this task with it.
            let _ = self.reading.wait_for(|reading| *reading).await;
            self.stream.readable().await?;
            if !*self.reading.borrow() {
                continue;
            }
            self.input.reserve(16 * 1024);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => {
                    self.finished = true;
                    return Ok(false);
                }
                Ok(count) => {
                    self.bytes_received += count as u64;
                    let bytes = self.bytes_received;
                    self.recorder.update(self.place, |entry| {
                        if let Entry::Connected(connected) = entry {
                            connected.bytes_received = bytes;
                        }
                    });
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of it.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for `event`, and sees meanwhile whether the peer leaves. An error
    /// means that it reset the connection.
    pub(super) async fn wait<T>(&mut self, event: impl Future<Output = T>) -> io::Result<T> {
        let mut event = pin!(event);
        loop {
            tokio::select! {
                biased;
                output = &mut event => return Ok(output),
                watched = self.watch() => watched?,
            }
        }
    }

    /// Ends when something came from the peer.
    async fn watch(&mut self) -> io::Result<()> {
        if self.finished {
            // Nothing is to be read any more, but a reset still comes.
            return Err(self.broken().await);
        }
        if self.input.len() >= READ_AHEAD {
            return std::future::pending().await;
        }
        if !self.read().await? {
            self.recorder.enter(Entry::PeerFinished(PeerFinished {
                backend: Arc::clone(&self.backend),
                connection: self.connection,
                at: Instant::now(),
            }));
        }
        Ok(())
    }

    async fn broken(&self) -> io::Error {
        let ready = self.stream.ready(Interest::ERROR).await;
        let error = ready.err().or_else(|| self.stream.take_error().ok().flatten());
        error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    /// Waits until the peer leaves.
    pub(super) async fn hang(&mut self) -> io::Result<()> {
        loop {
            if self.finished || !self.read().await? {
                return Ok(());
            }
            // Whatever comes is counted, and nobody will read it.
            self.input.clear();
        }
    }

    /// Closes the sending side, and gives the peer time to close its own: a
    /// socket that is closed with bytes unread sends a reset, which can
    /// overtake the answer.
    pub(super) async fn close(&mut self) {
        self.finish();
        let deadline = Instant::now() + DRAIN;
        while let Ok(true) = self.read_until(deadline).await {
            self.input.clear();
        }
    }

    /// Closes the sending side.
    pub(super) fn finish(&self) {
        // If it fails, the connection is over already.
        let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Write);
    }

    /// [`Wire::read`], and false at the deadline.
    pub(super) async fn read_until(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.finished {
            return Ok(false);
        }
        tokio::time::timeout_at(deadline.into(), self.read()).await.unwrap_or(Ok(false))
    }

    /// Lets the connection end with a reset when it is dropped.
    pub(super) fn reset(&self) {
        // If it fails, the connection is over already.
        let _ = self.stream.set_zero_linger();
    }
}
