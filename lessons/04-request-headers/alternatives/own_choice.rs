//! No load balancer of a library's: turns are a counter, health is a flag for
//! each backend. The backend is chosen before anything is sent anywhere, so the
//! client's own copy of the header is rewritten, and Pingora copies that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::net::TcpStream;

struct Upstream {
    address: SocketAddr,
    up: AtomicBool,
}

struct Pool {
    upstreams: Vec<Upstream>,
    turn: AtomicUsize,
    interval: Duration,
}

impl Pool {
    fn next(&self) -> Option<SocketAddr> {
        let count = self.upstreams.len();
        let start = self.turn.fetch_add(1, Relaxed);
        let mut candidates = (0..count).map(|step| &self.upstreams[(start + step) % count]);
        candidates.find(|upstream| upstream.up.load(Relaxed)).map(|upstream| upstream.address)
    }
}

#[async_trait]
impl BackgroundService for Pool {
    async fn start(&self, shutdown: ShutdownWatch) {
        let mut ticks = tokio::time::interval(self.interval);
        while !*shutdown.borrow() {
            ticks.tick().await;
            for upstream in &self.upstreams {
                let connect = TcpStream::connect(upstream.address);
                let reached = tokio::time::timeout(Duration::from_secs(1), connect).await;
                upstream.up.store(matches!(reached, Ok(Ok(_))), Relaxed);
            }
        }
    }
}

struct Gateway {
    pool: Arc<Pool>,
    name: String,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Option<SocketAddr>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn request_filter(&self, session: &mut Session, chosen: &mut Self::CTX) -> Result<bool> {
        let Some(upstream) = self.pool.next() else {
            session.respond_error(503).await?;
            return Ok(true);
        };
        *chosen = Some(upstream);
        let client = session.client_addr().and_then(|address| address.as_inet()).copied();
        let header = session.req_header_mut();
        for field in ["x-proxy-added", "x-forwarded-by", "x-forwarded-for"] {
            header.remove_header(field);
        }
        header.append_header("X-Proxy-Added", self.name.clone())?;
        header.append_header("X-Forwarded-By", self.name.clone())?;
        if let Some(client) = client {
            header.append_header("X-Forwarded-For", client.ip().to_string())?;
        }
        header.insert_header("Host", upstream.to_string())?;
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, chosen: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let upstream = chosen.ok_or_else(|| Error::explain(HTTPStatus(503), "none is up"))?;
        Ok(Box::new(HttpPeer::new(upstream, false, String::new())))
    }
}

fn main() {
    let var = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let list = var("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    let upstreams = list.split(',').map(|address| Upstream {
        address: address.trim().parse().expect("LAB_BACKENDS holds addresses"),
        up: AtomicBool::new(true),
    });
    let interval = var("LAB_HEALTH_INTERVAL_MS", "1000").parse().expect("milliseconds");
    let pool = Arc::new(Pool {
        upstreams: upstreams.collect(),
        turn: AtomicUsize::new(0),
        interval: Duration::from_millis(interval),
    });

    let mut server = Server::new(None).expect("default settings");
    server.bootstrap();
    let checks = pingora::services::background::GenBackgroundService::new(
        "health".to_owned(),
        Arc::clone(&pool),
    );
    let gateway = Gateway { pool, name: var("LAB_PROXY_NAME", "pingora-lab") };
    let mut service = http_proxy_service(&server.configuration, gateway);
    service.add_tcp(&var("LAB_LISTEN", "127.0.0.1:6188"));
    server.add_service(checks);
    server.add_service(service);
    server.run_forever();
}
