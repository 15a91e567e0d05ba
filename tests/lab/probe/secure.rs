//! Over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::origin::Origin;
use super::{json, only};
use crate::support::Program;

/// A server over TLS with a certificate of its own for `127.0.0.1`.
struct Secure {
    address: SocketAddr,
    /// The certificate, to be trusted.
    certificate: NamedTempFile,
    runtime: Option<Runtime>,
}

impl Secure {
    /// Speaks what the client chooses of these protocols.
    fn speaking(protocols: &[&str]) -> Self {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let certificate = NamedTempFile::new().expect("a file");
        std::fs::write(&certificate, made.cert.pem()).expect("a written file");

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key that fits");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();

        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
        Self { address, certificate, runtime: Some(runtime) }
    }

    fn url(&self) -> String {
        format!("https://{}/", self.address)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let version = format!("{:?}", request.version());
                let response = Response::builder().header("x-served-by", version);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).expect("valid"))
            });
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = TokioIo::new(stream);
            if http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(stream, answer).await);
            } else {
                let builder = hyper::server::conn::http1::Builder::new();
                drop(builder.serve_connection(stream, answer).await);
            }
        });
    }
}

fn error(document: &Value) -> (&str, &str) {
    let error = &only(document)["error"];
    (error["kind"].as_str().expect("a kind"), error["message"].as_str().expect("a message"))
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Secure::speaking(&["http/1.1"]);
    let (code, document) = json(&["--count", "1", &server.url()]);
    assert_eq!(code, 1);
    let (kind, message) = error(&document);
    assert_eq!(kind, "tls");
    assert!(message.contains("certificate") && message.contains("--insecure"), "{message}");
}

#[test]
fn insecure_accepts_it_and_a_trusted_file_makes_it_good() {
    let server = Secure::speaking(&["http/1.1"]);
    let (code, document) = json(&["--count", "1", "--insecure", &server.url()]);
    assert_eq!((code, &only(&document)["status"]), (0, &json!(200)));

    let url = server.url();
    let trusting = Program::start_with(["probe", "--count", "1", &url], |command| {
        command.env("SSL_CERT_FILE", server.certificate.path());
    });
    let (code, stdout, stderr) = trusting.finish();
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn http2_is_agreed_on_by_alpn_or_not_at_all() {
    let both = Secure::speaking(&["h2", "http/1.1"]);
    for (args, version) in [(&["--http2"] as &[&str], "HTTP/2.0"), (&[], "HTTP/1.1")] {
        let url = both.url();
        let (code, document) =
            json(&[&["--count", "1", "--insecure", url.as_str()], args].concat());
        assert_eq!((code, &only(&document)["backend"]), (0, &json!(version)), "{document:#}");
    }
    let neither = Secure::speaking(&[]);
    let (code, document) = json(&["--count", "1", "--insecure", "--http2", &neither.url()]);
    assert_eq!(code, 1);
    let (kind, message) = error(&document);
    assert_eq!(kind, "protocol");
    assert!(message.contains("leave --http2 out"), "{message}");
}

#[test]
fn tls_to_a_plain_server_and_plain_to_a_tls_server_say_which_to_use() {
    let plain = Origin::script(|mut peer| {
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        peer.hang();
    });
    let url = plain.url("/").replace("http://", "https://");
    let (_, document) = json(&["--count", "1", "--insecure", &url]);
    let (kind, message) = error(&document);
    assert_eq!(kind, "tls");
    assert!(message.contains("use http://"), "{message}");

    let server = Secure::speaking(&["http/1.1"]);
    let (_, document) = json(&["--count", "1", &server.url().replace("https://", "http://")]);
    let (kind, message) = error(&document);
    assert_eq!(kind, "protocol");
    assert!(message.contains("use https://"), "{message}");
}
