//! The port of a backend: bound for as long as the backend lives, and listened
//! on or not.

use std::io;
use std::net::{Shutdown, SocketAddr};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::backends::ports;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How many ports are tried that were free and then were not.
const TRIES: usize = 10;

/// A bound port.
#[derive(Debug)]
pub(super) struct Port {
    socket: Mutex<Socket>,
    address: SocketAddr,
}

// === impl Port ===

impl Port {
    /// Binds this address, whose earlier connections may still linger; with
    /// port 0, a port that the system picks.
    pub(super) fn at(address: SocketAddr) -> io::Result<Self> {
        Self::bound(bind(address, true)?)
    }

    fn bound(socket: Socket) -> io::Result<Self> {
        let address = socket.local_addr()?.as_socket();
        let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket: Mutex::new(socket), address })
    }

    /// Binds a free port of 127.0.0.1 that is not among those of outgoing
    /// connections: one of these could come from the port while it is refused,
    /// and even meet itself there.
    pub(super) fn free() -> io::Result<Self> {
        let mut tries = 1;
        loop {
            match bind(ports::free()?, false) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                    tries += 1;
                }
                result => return Self::bound(result?),
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens. The listener ends with an error when the port is refused.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let socket = self.socket.lock();
        // Connections of its earlier life may linger on the port.
        share(&socket, true)?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.try_clone()?.into())
    }

    /// Stops listening, at once; connections that wait to be accepted are reset.
    /// The port stays bound.
    pub(super) fn refuse(&self) -> io::Result<()> {
        let mut socket = self.socket.lock();
        // On Linux this undoes `listen` and leaves the socket bound. Elsewhere
        // it is an error, and only a new socket is not listened on.
        if cfg!(target_os = "linux") {
            socket.shutdown(Shutdown::Read)?;
            return share(&socket, false);
        }
        // For a moment the port belongs to nobody, and until its listener is
        // dropped the old socket still accepts.
        *socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        *socket = bind(self.address, true)?;
        Ok(())
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    share(&socket, shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether a port may be shared with connections that linger on it. A port that
/// is not listened on could then be taken by others who share, too.
fn share(socket: &Socket, shared: bool) -> io::Result<()> {
    // On Windows this would let others take even a port that is listened on.
    if cfg!(unix) { socket.set_reuse_address(shared) } else { Ok(()) }
}
