//! A new process takes over from a running one, and no client notices.
//!
//! The running process waits at a Unix socket ([`Giver`]). The new one, which has
//! validated its configuration by then, connects ([`Taker`]) and is sent the listening
//! sockets themselves, so that connections that wait to be accepted wait for either. It
//! checks its backends, begins to accept, and only then says so; the running one
//! closes its listeners, finishes what it has, and ends. Until it has been told, the
//! running one goes on as if nothing had happened, whatever becomes of the new one.
//!
//! Pingora's own `Fds::send_to_sock` has the new process listen, where everybody may
//! connect, and knows no answer: the old one would have to end by a guess.

mod giver;
mod taker;
mod wire;

use std::os::fd::AsFd;

use rustix::process::Uid;

pub use giver::Giver;
pub use taker::{Taker, UpgradeError};

/// A listening socket, by what it is for and where.
pub type Named = (String, std::os::fd::OwnedFd);

/// The process at the other end of a Unix socket, if it may be dealt with: it is of the
/// same user, or of the one who may do anything.
///
/// # Errors
///
/// The user that it is of.
fn peer(stream: impl AsFd) -> Result<u32, String> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| e.to_string())?;
    if is_trusted(peer.uid, rustix::process::geteuid()) {
        Ok(peer.pid.as_raw_nonzero().get().cast_unsigned())
    } else {
        Err(format!("process {} is of user {}", peer.pid.as_raw_nonzero(), peer.uid.as_raw()))
    }
}

/// Whether a process of one user may be dealt with by one of another.
fn is_trusted(other: Uid, own: Uid) -> bool {
    other == own || other.is_root()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_the_same_user_and_root_are_trusted() {
        let [ann, ben] = [1000, 1001].map(Uid::from_raw);
        assert!(is_trusted(ann, ann) && is_trusted(Uid::ROOT, ann));
        assert!(!is_trusted(ben, ann) && !is_trusted(ann, Uid::ROOT));
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer(&one), Ok(std::process::id()));
    }
}
