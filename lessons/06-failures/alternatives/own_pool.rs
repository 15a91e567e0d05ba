//! The same without a `LoadBalancer`: a pool of its own takes turns, looks at its
//! backends in a background service, and a bit for each backend remembers what has
//! refused a request.

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

struct Place {
    address: SocketAddr,
    up: AtomicBool,
}

struct Pool {
    places: Vec<Place>,
    turn: AtomicUsize,
    interval: Duration,
}

impl Pool {
    /// The next place that is up and whose bit is not set.
    fn choose(&self, tried: u64) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Relaxed);
        (0..self.places.len())
            .map(|step| turn.wrapping_add(step) % self.places.len())
            .find(|&at| tried & (1 << at) == 0 && self.places[at].up.load(Relaxed))
    }
}

#[async_trait]
impl BackgroundService for Pool {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            for place in &self.places {
                let connect = tokio::net::TcpStream::connect(place.address);
                let connected = tokio::time::timeout(Duration::from_secs(1), connect).await;
                place.up.store(matches!(connected, Ok(Ok(_))), Relaxed);
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                _ = shutdown.changed() => return,
            }
        }
    }
}

struct Proxy {
    pool: Arc<Pool>,
    name: String,
}

#[derive(Default)]
struct Tries {
    current: usize,
    tried: u64,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Tries;

    fn new_ctx(&self) -> Tries {
        Tries::default()
    }

    async fn upstream_peer(&self, _: &mut Session, tries: &mut Tries) -> Result<Box<HttpPeer>> {
        let Some(at) = self.pool.choose(tries.tried) else {
            return Error::e_explain(HTTPStatus(503), "every backend was tried or is down");
        };
        tries.current = at;
        Ok(Box::new(HttpPeer::new(self.pool.places[at].address, false, String::new())))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        tries: &mut Tries,
        mut error: Box<Error>,
    ) -> Box<Error> {
        tries.tried |= 1 << tries.current;
        error.set_retry(true);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        tries: &mut Tries,
    ) -> Result<()> {
        let host = self.pool.places[tries.current].address.to_string();
        request.insert_header("Host", host)?;
        request.insert_header("X-Proxy-Added", &self.name)?;
        request.insert_header("X-Forwarded-By", &self.name)?;
        request.remove_header("X-Forwarded-For");
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        _: &mut Tries,
    ) -> Result<()> {
        signed(response, &self.name)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _: &mut Tries,
    ) -> FailToProxy {
        let gone = matches!(error.etype(), WriteError | ReadError | ConnectionClosed)
            && *error.esource() == ErrorSource::Downstream;
        let code = match (error.etype(), error.esource()) {
            _ if gone => 0,
            (HTTPStatus(code), _) => *code,
            (_, ErrorSource::Upstream) => 502,
            (_, ErrorSource::Downstream) => 400,
            _ => 500,
        };
        if code != 0 && session.response_written().is_none() {
            let _ = page(session, code, &self.name).await;
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }
}

fn signed(response: &mut ResponseHeader, name: &str) -> Result<()> {
    response.remove_header("Server");
    response.insert_header("X-Proxy", name)?;
    response.insert_header("X-Load-Balancer", "round-robin")
}

async fn page(session: &mut Session, code: u16, name: &str) -> Result<()> {
    let reason = match code {
        503 => "all backends are down",
        502 => "the backend broke off",
        _ => "the request could not be served",
    };
    let mut response = ResponseHeader::build(code, None)?;
    signed(&mut response, name)?;
    response.insert_header("Content-Length", reason.len())?;
    session.set_keepalive(None);
    session.write_response_header(Box::new(response), false).await?;
    session.write_response_body(Some(Bytes::from_static(reason.as_bytes())), true).await
}

fn main() {
    let env = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let list = env("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    let address = |one: &str| Place {
        address: one.trim().parse().expect("LAB_BACKENDS is a list of addresses"),
        up: AtomicBool::new(true),
    };
    let interval = env("LAB_HEALTH_INTERVAL_MS", "1000").parse().expect("milliseconds");
    let pool = Pool {
        places: list.split(',').map(address).collect(),
        turn: AtomicUsize::new(0),
        interval: Duration::from_millis(interval),
    };
    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let health = background_service("health", pool);
    let proxy = Proxy { pool: health.task(), name: env("LAB_PROXY_NAME", "pingora-lab") };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&env("LAB_LISTEN", "127.0.0.1:6188"));
    server.add_service(health);
    server.add_service(service);
    server.run_forever();
}
