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
use tokio::task::JoinHandle;
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

/// An open connection: the half that requests are handed to, and the task that
/// reads and writes, which ends with it.
pub(super) struct Connection {
    requests: Requests,
    task: JoinHandle<hyper::Result<()>>,
}

enum Requests {
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
        if self.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(HEADER_LIST_BYTES);
            let (requests, connection) = builder.handshake(stream).await.map_err(failed)?;
            Ok(Connection { requests: Requests::Http2(requests), task: tokio::spawn(connection) })
        } else {
            let (requests, connection) = http1::handshake(stream).await.map_err(failed)?;
            Ok(Connection { requests: Requests::Http1(requests), task: tokio::spawn(connection) })
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Waits until a request can be sent; false if the connection has ended.
    pub(super) async fn is_usable(&mut self) -> bool {
        match &mut self.requests {
            Requests::Http1(requests) => requests.ready().await.is_ok(),
            Requests::Http2(requests) => requests.ready().await.is_ok(),
        }
    }

    /// The response without its body. An error that still holds the request
    /// says that nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match &mut self.requests {
            Requests::Http1(requests) => requests.try_send_request(request).await,
            Requests::Http2(requests) => requests.try_send_request(request).await,
        }
    }

    /// What the connection ended with, after a request failed with `error`. A
    /// connection that ended before it took the request up only says that it is
    /// closed; why is known to its task.
    pub(super) async fn cause(self, error: hyper::Error) -> hyper::Error {
        if !error.is_canceled() && !error.is_closed() {
            return error;
        }
        let Self { requests, task } = self;
        // The last that could keep the task at work.
        drop(requests);
        match task.await {
            Ok(Err(cause)) => cause,
            Ok(Ok(())) | Err(_) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A server may refuse a connection before the request is on its way.
    #[tokio::test]
    async fn a_connection_that_ended_before_the_request_still_says_why() {
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1, tls: false };
        let connector = Connector { endpoint, http2: true, tls: None };
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let mut connection = connector.speak(ours).await.unwrap();
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        while !connection.task.is_finished() {
            tokio::task::yield_now().await;
        }
        let error = connection.send(Request::new(Body::default())).await.unwrap_err();
        let cause = connection.cause(error.into_error()).await;
        let failure = Failure::first_exchange(&cause, true);
        assert_eq!(failure.kind, FailureKind::Protocol, "{failure}");
        assert!(failure.message.contains("--http2"), "{failure}");
    }
}
