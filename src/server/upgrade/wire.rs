//! What the two processes say to each other.
//!
//! The one that runs sends one line of JSON, with the sockets that it names beside its
//! first byte (`SCM_RIGHTS`). The new one answers with one byte once it accepts.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::Named;

/// What the new process says once it accepts clients.
pub const ACCEPTING: u8 = b'A';

/// The version of this exchange. A process that speaks another one can't be upgraded.
const VERSION: u32 = 1;

/// As many sockets as the kernel passes at once (`SCM_MAX_FD`).
const MOST: usize = 253;

/// The longest message that is read.
const LONGEST: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Offer {
    version: u32,
    sockets: Vec<String>,
}

/// Sends sockets with their names. The stream must be ready to be written to; so
/// little fits into its buffer at once.
///
/// # Errors
///
/// The other side is gone, or there are too many sockets.
pub fn send(stream: impl AsFd, sockets: &[Named]) -> io::Result<()> {
    let names = sockets.iter().map(|(name, _)| name.clone()).collect();
    let mut line = serde_json::to_vec(&Offer { version: VERSION, sockets: names })?;
    line.push(b'\n');
    let fds: Vec<_> = sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !beside.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other(format!("there are more than {MOST} listeners")));
    }
    let sent = sendmsg(&stream, &[IoSlice::new(&line)], &mut beside, SendFlags::NOSIGNAL)?;
    if sent < line.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

/// Receives sockets with their names, over a stream that waits for data.
///
/// # Errors
///
/// The other side is gone, does not answer in time, or says something else.
pub fn receive(stream: impl AsFd) -> io::Result<Vec<Named>> {
    let (mut line, mut fds) = (Vec::new(), Vec::<OwnedFd>::new());
    let mut part = [0; 4096];
    while line.last() != Some(&b'\n') {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut part)];
        let message = recvmsg(&stream, parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for item in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = item {
                fds.extend(more);
            }
        }
        if message.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&part[..message.bytes]);
        if line.len() > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let offer: Offer = serde_json::from_slice(&line)?;
    if offer.version != VERSION || offer.sockets.len() != fds.len() {
        return Err(io::Error::other("the running process is of a version that is not known"));
    }
    Ok(offer.sockets.into_iter().zip(fds).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_arrive_with_their_names() {
        let (here, there) = UnixStream::pair().unwrap();
        let listeners: Vec<_> =
            (0..MOST).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let named: Vec<Named> = listeners
            .into_iter()
            .enumerate()
            .map(|(number, listener)| (format!("listener {number}"), listener.into()))
            .collect();
        send(&here, &named).unwrap();
        drop(named);
        let received = receive(&there).unwrap();
        assert_eq!(received.len(), MOST);
        for (number, (name, fd)) in received.into_iter().enumerate() {
            assert_eq!(name, format!("listener {number}"));
            assert_eq!(TcpListener::from(fd).local_addr().unwrap(), addresses[number]);
        }
        drop(here);
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_is_an_error() {
        use std::io::Write;
        for nonsense in ["{}\n", "[1]\n", "\n", "{\"version\":1,\"sockets\":[\"a\"]}\n"] {
            let (mut here, there) = UnixStream::pair().unwrap();
            here.write_all(nonsense.as_bytes()).unwrap();
            assert!(receive(&there).is_err(), "{nonsense}");
        }
    }
}
