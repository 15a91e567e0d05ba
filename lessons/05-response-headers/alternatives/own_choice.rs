//! No load balancer of a library's: turns are a counter, health is a flag for
//! each backend. There are two places where the proxy answers by itself: at once,
//! where no backend is up, and later, where the chosen one fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use pingora_proxy::FailToProxy;
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

impl Gateway {
    fn mark(&self, header: &mut ResponseHeader) -> Result<()> {
        for (field, value) in [("X-Proxy", self.name.as_str()), ("X-Load-Balancer", "round-robin")] {
            while header.remove_header(field).is_some() {}
            header.append_header(field, value)?;
        }
        header.remove_header("Server");
        Ok(())
    }

    async fn excuse(&self, session: &mut Session, status: u16, why: &'static str) -> Result<()> {
        session.set_keepalive(None);
        let mut header = ResponseHeader::build_no_case(status, Some(4))?;
        header.set_content_length(why.len())?;
        self.mark(&mut header)?;
        session.write_response_header(Box::new(header), false).await?;
        session.write_response_body(Some(Bytes::from_static(why.as_bytes())), true).await
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Option<SocketAddr>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn request_filter(&self, session: &mut Session, chosen: &mut Self::CTX) -> Result<bool> {
        let Some(upstream) = self.pool.next() else {
            self.excuse(session, 503, "no backend is up").await?;
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

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        header: &mut ResponseHeader,
        _: &mut Self::CTX,
    ) -> Result<()> {
        self.mark(header)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _: &mut Self::CTX,
    ) -> FailToProxy {
        // The head of an answer is sent once: what comes after it cannot be an excuse.
        let begun = session.response_written().is_some();
        let (error_code, why) = match (&error.esource, &error.etype) {
            _ if begun => (0, ""),
            (ErrorSource::Downstream, ConnectionClosed | ReadError | WriteError) => (0, ""),
            (ErrorSource::Downstream, _) => (400, "this request makes no sense"),
            (ErrorSource::Upstream, _) => (502, "the backend failed"),
            (_, HTTPStatus(status)) => (*status, "not now"),
            _ => (500, "the proxy failed"),
        };
        if error_code != 0 {
            // If the client is gone, there is nobody to tell.
            let _ = self.excuse(session, error_code, why).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
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
