//! Binding the sockets that clients connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::upgrade::{Named, Taker};

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

/// Bound and listening sockets, each with its name for the process that takes over.
pub struct Sockets(Vec<(String, SocketAddr, Socket)>);

impl Sockets {
    /// Binds each address; port 0 takes any free one. `kind` says what they are for:
    /// those that a running process has for the same, and hands over, are taken from
    /// it instead.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound.
    pub fn bind(
        kind: &str,
        addresses: impl IntoIterator<Item = SocketAddr>,
        mut taker: Option<&mut Taker>,
    ) -> Result<Self, BindError> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        let bind = |&address: &SocketAddr| {
            let name = format!("{kind} {address}");
            if let Some(socket) = taker.as_deref_mut().and_then(|taker| taker.socket(&name)) {
                let socket = Socket::from(socket);
                // A process that is older may not have done so.
                let _ = socket.set_tcp_nodelay(true);
                return Ok((name, bound_address(&socket, address), socket));
            }
            // An IPv6 wildcard takes the IPv4 clients of its port as well, unless
            // they have a listener of their own.
            let only_v6 = addresses
                .iter()
                .any(|a| a.is_ipv4() && a.port() != 0 && a.port() == address.port());
            let socket = bind(address, only_v6).map_err(|cause| BindError {
                address,
                cause,
                admin: false,
            })?;
            Ok((name, bound_address(&socket, address), socket))
        };
        addresses.iter().map(bind).collect::<Result<_, _>>().map(Self)
    }

    /// The sockets once more, to hand over.
    ///
    /// # Errors
    ///
    /// The process has as many descriptors as it may have.
    pub fn copies(&self) -> io::Result<Vec<Named>> {
        self.0
            .iter()
            .map(|(name, _, socket)| Ok((name.clone(), socket.try_clone()?.into())))
            .collect()
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|(_, address, _)| *address)
    }

    /// The sockets, to accept from.
    pub fn into_std(self) -> Vec<TcpListener> {
        self.0.into_iter().map(|(_, _, socket)| socket.into()).collect()
    }
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last owner has ended can be taken at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // On Linux its connections have this from it: small writes go out at once, and
    // nothing needs to be said for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bound_address(socket: &Socket, wanted: SocketAddr) -> SocketAddr {
    socket.local_addr().ok().and_then(|address| address.as_socket()).unwrap_or(wanted)
}
