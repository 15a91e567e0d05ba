//! One backend is a load balancer with one choice. More than this stage needs,
//! and right all the same.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora_load_balancing::{LoadBalancer, selection::Consistent};

struct Proxy {
    upstreams: Arc<LoadBalancer<Consistent>>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Option<Box<HttpPeer>>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    /// The peer is made before the request is sent anywhere.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let key = session.req_header().uri.path().as_bytes().to_vec();
        let chosen = self.upstreams.select(&key, 8);
        *ctx = chosen.map(|backend| Box::new(HttpPeer::new(backend.addr, false, "".into())));
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        ctx.take().ok_or_else(|| Error::explain(HTTPStatus(502), "no backend"))
    }
}

fn main() -> std::io::Result<()> {
    let env = |name: &str| std::env::var(name).ok();
    let listen = env("LAB_LISTEN").unwrap_or("127.0.0.1:6188".to_string());
    let list = env("LAB_BACKENDS").unwrap_or("127.0.0.1:6190".to_string());
    let upstreams = Arc::new(LoadBalancer::try_from_iter(list.split(',').take(1))?);

    let mut server = Server::new(Some(Opt::default())).unwrap();
    server.bootstrap();
    let mut service = pingora_proxy::http_proxy_service_with_name(
        &server.configuration,
        Proxy { upstreams },
        "first proxy",
    );
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
