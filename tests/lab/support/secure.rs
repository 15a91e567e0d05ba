//! A backend over TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::Upstream;
use super::certificates::{Authority, Issued};

/// Ends TLS, and hands what is inside on to an [`Upstream`].
pub struct SecureFront {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Handshake>>>,
    runtime: Option<Runtime>,
}

/// A handshake that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The name that was asked for.
    pub name: Option<String>,
    /// The certificate that the client has shown.
    pub shown: Option<Vec<u8>>,
}

/// Shows this certificate and agrees to these protocols; asks clients for a
/// certificate of the authority, if there is one.
pub fn server(
    issued: &Issued,
    clients: Option<&Authority>,
    protocols: &[&str],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![issued.certificate()];
    let mut config = builder.with_single_cert(chain, issued.key()).expect("a key that fits");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

impl SecureFront {
    pub fn over(upstream: &Upstream, config: Arc<ServerConfig>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let here = SocketAddr::new(upstream.address.ip(), 0);
        let listener = runtime.block_on(TcpListener::bind(here)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::default();
        runtime.spawn(accept(listener, upstream.address, config, Arc::clone(&log)));
        Self { address, log, runtime: Some(runtime) }
    }

    /// The handshakes so far.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for SecureFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    config: Arc<ServerConfig>,
    log: Arc<Mutex<Vec<Handshake>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, log) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&log));
        tokio::spawn(async move {
            let Ok(mut outer) = acceptor.accept(stream).await else { return };
            let session = outer.get_ref().1;
            log.lock().unwrap().push(Handshake {
                name: session.server_name().map(str::to_owned),
                shown: session.peer_certificates().map(|shown| shown[0].to_vec()),
            });
            let Ok(mut inner) = TcpStream::connect(upstream).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            let _ = outer.shutdown().await;
        });
    }
}
