//! An HTTP/1 client that sends exactly the bytes it is told to, and reports
//! exactly what came back.
//!
//! [`Client::send`] sends one [`Request`] over a connection of its own; a
//! [`Connection`] takes several, or parts of one, or ends in a reset. What comes
//! back is an [`Answer`], or the [`Trouble`] that there was instead.
//!
//! Over TLS it says exactly the [`Hello`] that it is told to, trusts everybody, and
//! reports what it was [`Shown`]; [`Http2`] is the same with frames.

mod answer;
mod connection;
mod hello;
pub(super) mod http2;
mod kept;
mod old_hello;
mod request;
mod secure;
mod trouble;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

pub use answer::{Answer, whole_answer};
pub use connection::Connection;
pub use hello::Hello;
pub use http2::Http2;
pub use kept::Kept;
pub use old_hello::OldHello;
pub use request::Request;
pub use secure::{Secured, Shown};
pub use trouble::{Cut, Missing, NoTls, Trouble};

/// A client of one server.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address of the server.
    pub target: SocketAddr,
    /// The address that connections come from, such as 127.0.0.2; `None` leaves
    /// it to the system.
    pub from: Option<IpAddr>,
    /// How long a connection may take to be made, and then an answer to be
    /// complete.
    pub patience: Duration,
}

// === impl Client ===

impl Client {
    /// A client that waits 4 s for an answer.
    pub fn new(target: SocketAddr) -> Self {
        Self { target, from: None, patience: Duration::from_secs(4) }
    }

    /// The same, with connections that come from this address.
    pub fn from(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// The same, with this patience.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A request that has one header field: `Host` with the server's address.
    pub fn request(&self, method: impl Into<String>, target: impl Into<String>) -> Request {
        Request::new(method, target).header("Host", self.target.to_string())
    }

    /// Sends GET for this target, with `Host`, over a connection of its own.
    ///
    /// # Errors
    ///
    /// What there was instead of a complete answer.
    pub async fn get(&self, target: impl Into<String>) -> Result<Answer, Trouble> {
        self.send(&self.request("GET", target)).await
    }

    /// Sends a request over a connection of its own, which is closed after the
    /// answer.
    ///
    /// # Errors
    ///
    /// What there was instead of a complete answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Trouble> {
        self.connect().await?.send(request).await
    }

    /// Makes a connection.
    ///
    /// # Errors
    ///
    /// [`Trouble::Refused`], [`Trouble::ConnectTimedOut`],
    /// [`Trouble::NoSuchAddress`], or [`Trouble::Connect`] for any other reason.
    pub async fn connect(&self) -> Result<Connection, Trouble> {
        Ok(Connection::new(self.stream().await?, self.patience))
    }

    async fn stream(&self) -> Result<TcpStream, Trouble> {
        let other = |error: io::Error| Trouble::Connect(error.to_string());
        let socket = match self.target {
            SocketAddr::V4(_) => TcpSocket::new_v4().map_err(other)?,
            SocketAddr::V6(_) => TcpSocket::new_v6().map_err(other)?,
        };
        if let Some(from) = self.from {
            socket.bind((from, 0).into()).map_err(|error| match error.kind() {
                io::ErrorKind::AddrNotAvailable => {
                    Trouble::NoSuchAddress { from, reason: error.to_string() }
                }
                _ => other(error),
            })?;
        }
        let connecting = socket.connect(self.target);
        let stream = match tokio::time::timeout(self.patience, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Trouble::Refused);
            }
            Ok(Err(error)) => return Err(other(error)),
            Err(_) => return Err(Trouble::ConnectTimedOut { after: self.patience }),
        };
        // A request may go out in several pieces.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

#[cfg(test)]
mod tests;
