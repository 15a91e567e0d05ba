//! The signals that the process listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, listened for from the moment this is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    reopen: Option<Signal>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end.
    End(End),
    /// SIGHUP: to read the configuration again.
    Reload,
}

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGINT (Ctrl-C): at once.
    Now,
    /// SIGTERM: when what is in flight has finished.
    Drained,
}

// === impl Signals ===

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
            hang_up: signal(SignalKind::hangup())?,
            reopen: Some(signal(SignalKind::user_defined1())?),
        })
    }

    /// Those that ask for log files to be opened anew (SIGUSR1), which can come at any
    /// time; to be taken once.
    pub fn take_reopen(&mut self) -> Option<Signal> {
        self.reopen.take()
    }

    /// The next signal that asks to end.
    pub async fn end(&mut self) -> End {
        loop {
            if let Asked::End(end) = self.next().await {
                return end;
            }
        }
    }

    /// The next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End(End::Now),
            _ = self.terminate.recv() => Asked::End(End::Drained),
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
