//! A backend that speaks HTTP/2 only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Answers each request with its body, between `one` and a trailer.
pub struct Backend2 {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Log {
    requests: Vec<Request<()>>,
    connections: usize,
}

impl Backend2 {
    /// Over TLS, or from the first byte.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        Self::saying(tls, None)
    }

    /// Without TLS, and says in the header of its answers that this trailer will come.
    pub fn announcing(trailer: &'static str) -> Self {
        Self::saying(None, Some(trailer))
    }

    fn saying(tls: Option<Arc<ServerConfig>>, announced: Option<&'static str>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::<Mutex<Log>>::default();
        let shared = Arc::clone(&log);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, log) = (tls.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, log, announced).await,
                        Some(config) => {
                            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
                                return;
                            };
                            serve(stream, log, announced).await;
                        }
                    }
                });
            }
        });
        Self { address, log, runtime: Some(runtime) }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request<()>> {
        self.log.lock().unwrap().requests.clone()
    }

    /// The connections so far that spoke HTTP/2.
    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }
}

impl Drop for Backend2 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    log: Arc<Mutex<Log>>,
    announced: Option<&'static str>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    log.lock().unwrap().connections += 1;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        let bare = head.method == http::Method::HEAD;
        log.lock().unwrap().requests.push(Request::from_parts(head, ()));
        tokio::spawn(answer(body, respond, announced, bare));
    }
}

async fn answer(
    mut body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
    announced: Option<&'static str>,
    bare: bool,
) {
    let mut sent = b"one".to_vec();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        sent.extend_from_slice(&data);
    }
    let mut head = Response::builder().header("content-type", "text/plain");
    if let Some(trailer) = announced {
        head = head.header("trailer", trailer);
    }
    let head = head.body(()).expect("valid");
    let Ok(mut stream) = respond.send_response(head, bare) else { return };
    if bare {
        return;
    }
    let _ = stream.send_data(sent.into(), false);
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let _ = stream.send_trailers(trailers);
}
