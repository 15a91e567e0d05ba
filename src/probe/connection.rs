//! One connection, opened by hand.
//!
//! hyper is used without a pooling client on top: such a client adds headers,
//! sends a request again on its own, and hides which step failed, and the
//! probe has to know all three.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::{Failure, FailureKind};
use super::plan::Endpoint;
use super::tls;

type Body = Full<Bytes>;

/// Two lab reports of 8 KiB each stand beside the backend's own headers;
/// hyper's default for HTTP/2 is 16 KiB in all.
const HEADER_LIST_BYTES: u32 = 256 * 1024;

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(super) struct Connector {
    endpoint: Endpoint,
    http2: bool,
    tls: Option<TlsConnector>,
}

/// The sending half of an open connection; the rest runs in a task that ends
/// with it.
pub(super) enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

// === impl Connector ===

impl Connector {
    /// # Errors
    ///
    /// TLS is asked for and cannot be set up on this machine.
    pub(super) fn new(
        endpoint: Endpoint,
        http2: bool,
        insecure: bool,
    ) -> Result<Self, rustls::Error> {
        let tls = match endpoint.tls {
            true => Some(TlsConnector::from(Arc::new(tls::client(http2, insecure)?))),
            false => None,
        };
        Ok(Self { endpoint, http2, tls })
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let Endpoint { host, port, .. } = &self.endpoint;
        let connected = TcpStream::connect((host.as_str(), *port)).await;
        let stream =
            connected.map_err(|error| Failure::connect(&self.endpoint.authority(), &error))?;
        // A request is one small write; waiting for more would be measured.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(stream).await;
        };
        let name = ServerName::try_from(host.clone()).map_err(|error| {
            Failure::new(FailureKind::Tls, format!("'{host}' cannot be a server's name: {error}"))
        })?;
        let stream = tls.connect(name, stream).await.map_err(|error| Failure::handshake(&error))?;
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let message = "the server does not offer HTTP/2 over TLS (ALPN); leave --http2 out";
            return Err(Failure::new(FailureKind::Protocol, message));
        }
        self.speak(stream).await
    }

    async fn speak<S>(&self, stream: S) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let failed = |error| Failure::first_exchange(&error, self.http2);
        // A connection's own error also reaches the request that it ends, so
        // the task's result is of no further use.
        if self.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(HEADER_LIST_BYTES);
            let (sender, connection) = builder.handshake(stream).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Connection::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Connection::Http1(sender))
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Waits until a request can be sent; false if the connection has ended.
    pub(super) async fn is_usable(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// The response without its body. An error that still holds the request
    /// says that nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}
