//! The signals that end the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, listened for from the moment this is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// How the process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGINT (Ctrl-C): at once.
    Now,
    /// SIGTERM: when what is in flight has finished.
    Drained,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Now,
            _ = self.terminate.recv() => Ending::Drained,
        }
    }
}
