//! Binding the sockets that clients connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;

use pingora::server::Fds;
use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel may hold until they are accepted; the
/// kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65535;

/// A listener's address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub cause: io::Error,
    /// Whether it is that of the admin listener.
    pub admin: bool,
}

/// Bound and listening sockets.
pub struct Sockets(Vec<(SocketAddr, Socket)>);

impl Sockets {
    /// Binds each address; port 0 takes any free one.
    pub fn bind(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, BindError> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        let bind = |&address: &SocketAddr| {
            // An IPv6 wildcard takes the IPv4 clients of its port as well, unless
            // they have a listener of their own.
            let only_v6 = addresses
                .iter()
                .any(|a| a.is_ipv4() && a.port() != 0 && a.port() == address.port());
            bind(address, only_v6).map_err(|cause| BindError { address, cause, admin: false })
        };
        addresses.iter().map(bind).collect::<Result<_, _>>().map(Self)
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|(address, _)| *address)
    }

    /// The sockets, to accept from.
    pub fn into_std(self) -> Vec<TcpListener> {
        self.0.into_iter().map(|(_, socket)| socket.into()).collect()
    }

    /// The sockets in the form in which Pingora takes over those of a process
    /// before it: it finds each by its address and closes it at the end.
    pub fn hand_over(self) -> (Vec<SocketAddr>, Fds) {
        let mut fds = Fds::new();
        let mut addresses = Vec::with_capacity(self.0.len());
        for (address, socket) in self.0 {
            fds.add(address.to_string(), socket.into_raw_fd());
            addresses.push(address);
        }
        (addresses, fds)
    }
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<(SocketAddr, Socket)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last owner has ended can be taken at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((bound, socket))
}
