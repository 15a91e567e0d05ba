//! The least that a load balancer on Pingora can be: what `serve` is measured
//! against. It takes turns, and has the header rules and the time limits that
//! `serve` has by default; it checks, logs and counts nothing.
//!
//!     bare LISTEN BACKEND,… [TLS-LISTEN CERTIFICATE KEY]

use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare(LoadBalancer<RoundRobin>);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = Option<String>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let backend = self.0.select(b"", 256).ok_or_else(|| Error::new(HTTPStatus(503)))?;
        *ctx = Some(backend.addr.to_string());
        let mut peer = Box::new(HttpPeer::new(backend, false, String::new()));
        peer.options.connection_timeout = Some(Duration::from_secs(2));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_secs(30));
        peer.options.write_timeout = Some(Duration::from_secs(30));
        peer.options.idle_timeout = Some(Duration::from_secs(60));
        Ok(peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut Self::CTX,
    ) -> Result<()> {
        request.insert_header("x-proxy-added", "pingora-demo")?;
        request.insert_header("x-forwarded-by", "rust-pingora")?;
        request.insert_header("x-request-id", uuid::Uuid::new_v4().to_string())?;
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "http")?;
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("x-forwarded-host", host)?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        response.remove_header("server");
        response.insert_header("x-proxy", "pingora-demo")?;
        response.insert_header("x-load-balancer", "rust-implementation")?;
        response.insert_header("x-served-by", ctx.as_deref().unwrap_or("-"))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, backends) = (&arguments[0], &arguments[1]);
    let backends = LoadBalancer::try_from_iter(backends.split(',')).expect("IP:PORT,…");
    let mut server = Server::new(None).expect("Pingora's defaults are valid");
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(backends));
    let buffers = L4BufferSettings::default().read(4096);
    service.add_listener(ListenerConfig::tcp(listen).l4_buffer(buffers));
    if let [_, _, listen, certificate, key] = &arguments[..] {
        service.add_tls(listen, certificate, key).expect("a certificate and its key");
    }
    server.add_service(service);
    server.run_forever();
}
