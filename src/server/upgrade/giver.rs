//! The running process.

use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tracing::{info, warn};

use super::taker::UpgradeError;
use super::{Named, peer, wire};
use crate::server::drain::SETTLE;

/// Waits for a process that takes over.
pub struct Giver {
    listener: UnixListener,
    path: PathBuf,
    /// The device and the number of the socket's file.
    file: (u64, u64),
    sockets: Vec<Named>,
}

impl Giver {
    /// Sees to it that nobody waits at a path, and that one can.
    ///
    /// # Errors
    ///
    /// Another process waits there, or something else is there.
    pub fn inspect(path: &Path) -> anyhow::Result<()> {
        match std::fs::symlink_metadata(path) {
            Ok(file) if file.file_type().is_socket() => match StdStream::connect(path) {
                Ok(_) => Err(UpgradeError::Running { path: path.to_owned() }.into()),
                // It is left of a process that has been killed.
                Err(_) => Ok(()),
            },
            Ok(_) => anyhow::bail!(
                "{} is no socket: remove it, or name another path for upgrades",
                path.display()
            ),
            Err(_) => Ok(()),
        }
    }

    /// Waits at a path, in the place of whoever waited there, with sockets to hand
    /// over.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn wait_at(path: &Path, sockets: Vec<Named>) -> anyhow::Result<Self> {
        let (listener, file) = listen(path).with_context(|| {
            format!("cannot wait for an upgrade at {}: name another path", path.display())
        })?;
        Ok(Self { listener, path: path.to_owned(), file, sockets })
    }

    /// Waits until another process has taken over, and says which.
    pub async fn taken_over(&mut self) -> u32 {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors; that passes.
                tokio::time::sleep(SETTLE).await;
                continue;
            };
            let process = match peer(stream.as_fd()) {
                Ok(process) => process,
                Err(reason) => {
                    warn!(target: "server", reason, "a stranger asked to take over, refused");
                    continue;
                }
            };
            match self.hand_over(stream, process).await {
                Ok(()) => return process,
                Err(reason) => warn!(target: "server", process, %reason,
                    "the other process did not take over, this one goes on"),
            }
            if !self.is_in_place() {
                // It had put its own in the place of this one.
                match listen(&self.path) {
                    Ok((listener, file)) => (self.listener, self.file) = (listener, file),
                    Err(reason) => warn!(target: "server", %reason,
                        "this process cannot be upgraded any more"),
                }
            }
        }
    }

    fn is_in_place(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file)
    }

    /// Sends the sockets and waits for word that they are used.
    async fn hand_over(&self, mut stream: UnixStream, process: u32) -> io::Result<()> {
        stream.async_io(Interest::WRITABLE, || wire::send(stream.as_fd(), &self.sockets)).await?;
        info!(target: "server", process, "another process is getting ready to take over");
        match stream.read_u8().await? {
            wire::ACCEPTING => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Drop for Giver {
    /// Removes the socket, unless it is another process's by now.
    fn drop(&mut self) {
        if self.is_in_place() {
            // Another process's start copes with one that is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path, in the place of whatever is there, and says which file that is.
fn listen(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    // Where it is made, nobody looks for it until only its user can connect.
    let mut made = path.as_os_str().to_owned();
    made.push(format!(".{}", std::process::id()));
    let made = PathBuf::from(made);
    match std::fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&made)?;
    let moved = std::fs::set_permissions(&made, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::symlink_metadata(&made))
        .and_then(|file| {
            std::fs::rename(&made, path)?;
            Ok((file.dev(), file.ino()))
        });
    if moved.is_err() {
        // What could be made can be removed.
        let _ = std::fs::remove_file(&made);
    }
    Ok((listener, moved?))
}
