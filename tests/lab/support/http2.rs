//! A client of HTTP/2 without TLS, that begins with it (RFC 9113, section 3.3).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An open connection.
pub struct Http2 {
    /// Sends requests.
    pub send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer2 {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    pub async fn with(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        Self::over(stream, builder).await
    }

    /// Over a connection that is there.
    pub async fn over<S>(stream: S, builder: &h2::client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = builder.handshake(stream).await.expect("an HTTP/2 connection");
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Begins a request, whose body may follow unless it has ended.
    pub async fn begin(
        &mut self,
        request: Request<()>,
        ended: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut ready = self.send.clone().ready().await?;
        ready.send_request(request, ended)
    }

    /// Sends a request without a body and reads the answer.
    pub async fn ask(&mut self, request: Request<()>) -> Result<Answer2, h2::Error> {
        let (response, _) = self.begin(request, true).await?;
        read(response.await?).await
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer2, h2::Error> {
        self.ask(get(path)).await
    }
}

/// A request for a path of the host `x`.
pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://x{path}")).body(()).expect("a request")
}

/// The same with a body.
pub fn post(path: &str) -> Request<()> {
    Request::post(format!("http://x{path}")).body(()).expect("a request")
}

/// Reads an answer to its end.
pub async fn read(response: Response<RecvStream>) -> Result<Answer2, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Answer2 { status: head.status.as_u16(), headers: head.headers, body, trailers })
}
