//! The same with a table of routes, asked in order before anything else is done, and
//! pools of its own: one background service looks at the backends of all of them.

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
}

/// What a request must have, to go to a pool.
enum Rule {
    Host(String),
    Below(&'static str),
    Any,
}

/// Rules in the order in which they are asked, each with its pool.
struct Table {
    routes: Vec<(Rule, Pool)>,
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

impl Table {
    fn find(&self, request: &RequestHeader) -> usize {
        let host = request.headers.get("host").and_then(|host| host.to_str().ok());
        let host = request.uri.host().or(host.map(without_port)).unwrap_or_default();
        let path = plain(request.uri.path());
        let fits = |rule: &Rule| match rule {
            Rule::Host(name) => host.to_lowercase() == *name,
            Rule::Below(prefix) => path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Rule::Any => true,
        };
        self.routes.iter().position(|(rule, _)| fits(rule)).expect("the last rule fits all")
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    }
}

/// The path in plain letters, and without dot segments. What is not UTF-8 in it, and
/// what would be a slash, stays encoded: neither is in any rule.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    for segment in path.split('/').skip(1) {
        let mut pieces = segment.split('%');
        let mut decoded = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let code = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match code.map(char::from).filter(|letter| letter.is_ascii() && *letter != '/') {
                Some(letter) => {
                    decoded.push(letter);
                    decoded.push_str(&piece[2..]);
                }
                None => {
                    decoded.push('%');
                    decoded.push_str(piece);
                }
            }
        }
        match decoded.as_str() {
            "." => {}
            ".." => plain.truncate(plain.rfind('/').unwrap_or(0)),
            segment => {
                plain.push('/');
                plain.push_str(segment);
            }
        }
    }
    plain
}

#[async_trait]
impl BackgroundService for Table {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            for place in self.routes.iter().flat_map(|(_, pool)| &pool.places) {
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
    table: Arc<Table>,
    name: String,
}

#[derive(Default)]
struct Tries {
    route: usize,
    current: usize,
    tried: u64,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Tries;

    fn new_ctx(&self) -> Tries {
        Tries::default()
    }

    async fn request_filter(&self, session: &mut Session, tries: &mut Tries) -> Result<bool> {
        tries.route = self.table.find(session.req_header());
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, tries: &mut Tries) -> Result<Box<HttpPeer>> {
        let pool = &self.table.routes[tries.route].1;
        let Some(at) = pool.choose(tries.tried) else {
            return Error::e_explain(HTTPStatus(503), "every backend was tried or is down");
        };
        tries.current = at;
        Ok(Box::new(HttpPeer::new(pool.places[at].address, false, String::new())))
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
        let host = self.table.routes[tries.route].1.places[tries.current].address.to_string();
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
    let pool = |variable: &str, default: &str| {
        let address = |one: &str| Place {
            address: one.trim().parse().expect("a list of addresses"),
            up: AtomicBool::new(true),
        };
        let places = env(variable, default).split(',').map(address).collect();
        Pool { places, turn: AtomicUsize::new(0) }
    };
    let host = env("LAB_ADMIN_HOST", "admin.test").to_lowercase();
    let interval = env("LAB_HEALTH_INTERVAL_MS", "1000").parse().expect("milliseconds");
    let table = Table {
        routes: vec![
            (Rule::Host(host), pool("LAB_ADMIN_BACKENDS", "127.0.0.1:6192")),
            (Rule::Below("/api"), pool("LAB_API_BACKENDS", "127.0.0.1:6190")),
            (Rule::Below("/static"), pool("LAB_STATIC_BACKENDS", "127.0.0.1:6191")),
            (Rule::Any, pool("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192")),
        ],
        interval: Duration::from_millis(interval),
    };
    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let health = background_service("health", table);
    let proxy = Proxy { table: health.task(), name: env("LAB_PROXY_NAME", "pingora-lab") };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&env("LAB_LISTEN", "127.0.0.1:6188"));
    server.add_service(health);
    server.add_service(service);
    server.run_forever();
}
