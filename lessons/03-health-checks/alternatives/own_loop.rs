//! Health checks without a balancer of Pingora's: a background service of its own
//! looks at every backend, and a flag for each says what it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

const CONNECT_LIMIT: Duration = Duration::from_millis(500);

struct Backend {
    address: SocketAddr,
    healthy: AtomicBool,
}

struct Pool {
    backends: Vec<Backend>,
    turn: AtomicUsize,
    every: Duration,
}

impl Pool {
    fn next(&self) -> Option<&Backend> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.backends.len();
        (0..count)
            .map(|step| &self.backends[first.wrapping_add(step) % count])
            .find(|backend| backend.healthy.load(Ordering::Acquire))
    }
}

#[async_trait]
impl BackgroundService for Pool {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut rounds = interval(self.every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                _ = rounds.tick() => {}
            }
            let looks = self.backends.iter().map(|backend| async move {
                let connected = timeout(CONNECT_LIMIT, TcpStream::connect(backend.address)).await;
                backend.healthy.store(matches!(connected, Ok(Ok(_))), Ordering::Release);
            });
            for look in looks {
                look.await;
            }
        }
    }
}

struct Balancer(Arc<Pool>);

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        match self.0.next() {
            Some(backend) => Ok(Box::new(HttpPeer::new(backend.address, false, String::new()))),
            None => Error::e_explain(HTTPStatus(503), "every backend is down"),
        }
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_string())
}

fn main() {
    let list = variable("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    let every = variable("LAB_HEALTH_INTERVAL_MS", "1000");
    let pool = Pool {
        backends: list
            .split(',')
            .map(|address| Backend {
                address: address.trim().parse().expect("LAB_BACKENDS: an address"),
                healthy: AtomicBool::new(true),
            })
            .collect(),
        turn: AtomicUsize::new(0),
        every: Duration::from_millis(every.parse().expect("LAB_HEALTH_INTERVAL_MS: a number")),
    };

    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let checks = background_service("checks", pool);
    let mut proxy = http_proxy_service(&server.configuration, Balancer(checks.task()));
    proxy.add_tcp(&variable("LAB_LISTEN", "127.0.0.1:6188"));
    server.add_service(checks);
    server.add_service(proxy);
    server.run_forever();
}
