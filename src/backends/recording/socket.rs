//! The port of a backend: bound for as long as the backend lives, and listened
//! on or not.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

use parking_lot::Mutex;
use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
const MOST_TRIES: usize = 1000;
/// Below it are the ports that servers have by habit, this project's too.
const LOWEST: u16 = 10_000;

/// Ports from which a system takes those of outgoing connections, where that is
/// not known: what Linux uses, and what IANA names and others use.
const EPHEMERAL: (u16, u16) = (32768, 65535);

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
        let (first, last) = ephemeral_ports();
        let mut random = rand::rng();
        let mut tries = 0;
        loop {
            let port = random.random_range(LOWEST..=u16::MAX);
            if (first..=last).contains(&port) {
                continue;
            }
            tries += 1;
            match bind((Ipv4Addr::LOCALHOST, port).into(), false) {
                Err(_) if tries < MOST_TRIES => {}
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

/// The first and the last port of those of outgoing connections.
fn ephemeral_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let ports = text.ok().and_then(|text| {
        let (first, last) = text.trim().split_once(char::is_whitespace)?;
        Some((first.parse().ok()?, last.trim().parse().ok()?))
    });
    // A range that leaves nothing over cannot be avoided.
    ports
        .filter(|&(first, last): &(u16, u16)| first > LOWEST + 1000 || last < 64000)
        .unwrap_or(EPHEMERAL)
}
