//! The new process.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::info;

use super::{Named, peer, wire};

/// How long the running process may take to hand over its sockets. It may be busy with
/// another process that takes over.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing can be taken over from a running process, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nobody waits there.
    #[error(
        "no process that could be upgraded is at {}: {cause}; start without --upgrade", path.display()
    )]
    Nobody {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Somebody else waits there.
    #[error(
        "the process at {} is not to be trusted: {reason}; run both as the same user", path.display()
    )]
    Stranger {
        /// The socket's path.
        path: PathBuf,
        /// Who.
        reason: String,
    },
    /// It does not hand over what it has.
    #[error("the running process at {} hands nothing over: {cause}; it goes on, try again", path.display())]
    Refused {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is a process already.
    #[error(
        "a process is running that waits for an upgrade at {}: take over from it with --upgrade, or stop it", path.display()
    )]
    Running {
        /// The socket's path.
        path: PathBuf,
    },
}

/// What a running process has handed over. When it is dropped untold, the running
/// process goes on as if nothing had happened.
pub struct Taker {
    stream: UnixStream,
    process: u32,
    sockets: Vec<Named>,
}

impl Taker {
    /// Takes the sockets of the process that waits at a path.
    ///
    /// # Errors
    ///
    /// See [`UpgradeError`].
    pub fn connect(path: &Path) -> Result<Self, UpgradeError> {
        let path = || path.to_owned();
        let stream = UnixStream::connect(path())
            .map_err(|cause| UpgradeError::Nobody { path: path(), cause })?;
        let process =
            peer(&stream).map_err(|reason| UpgradeError::Stranger { path: path(), reason })?;
        let sockets = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| wire::receive(&stream))
            .map_err(|cause| UpgradeError::Refused { path: path(), cause })?;
        Ok(Self { stream, process, sockets })
    }

    /// The socket of this name, if the running process had one and nobody has it yet.
    pub fn socket(&mut self, name: &str) -> Option<std::os::fd::OwnedFd> {
        let place = self.sockets.iter().position(|(other, _)| other == name)?;
        Some(self.sockets.remove(place).1)
    }

    /// Closes what nobody has asked for; the running process closes it when it ends.
    pub fn close_the_rest(&mut self) {
        self.sockets.clear();
    }

    /// Tells the running process that clients are accepted here, so that it can end.
    pub fn accepting(mut self) {
        // If it has ended in the meantime, all the better.
        let _ = self.stream.write_all(&[wire::ACCEPTING]);
        info!(target: "server", process = self.process, "took over from the running process");
    }
}
