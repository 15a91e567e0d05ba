//! The same with types that check themselves as they are read (a list that can't be
//! empty, a prefix, a time), with pools of its own, and an error that quotes the line.

use std::net::SocketAddr;
use std::process::ExitCode;
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
use serde::Deserialize;
use toml::Spanned;

mod file {
    use super::*;

    /// A list of one or more.
    #[derive(Deserialize)]
    #[serde(try_from = "Vec<T>", bound = "T: Deserialize<'de>")]
    pub struct Several<T>(pub Vec<T>);

    impl<T> TryFrom<Vec<T>> for Several<T> {
        type Error = &'static str;

        fn try_from(list: Vec<T>) -> Result<Self, Self::Error> {
            if list.is_empty() { Err("this list may not be empty") } else { Ok(Self(list)) }
        }
    }

    /// A length of time, in milliseconds or seconds.
    #[derive(Clone, Copy, Deserialize)]
    #[serde(try_from = "String")]
    pub struct Time(pub Duration);

    impl TryFrom<String> for Time {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = text.split_at(digits);
            match (number.parse(), unit.trim()) {
                (Ok(number @ 1..), "ms") => Ok(Self(Duration::from_millis(number))),
                (Ok(number @ 1..), "s") => Ok(Self(Duration::from_secs(number))),
                _ => Err(format!("{text:?} is not a time like 500ms or 2s")),
            }
        }
    }

    /// The beginning of a path: a slash, and no slash at its end.
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    pub struct Prefix(pub String);

    impl TryFrom<String> for Prefix {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            match text.strip_suffix('/').unwrap_or(&text) {
                prefix if text.starts_with('/') => Ok(Self(prefix.to_owned())),
                _ => Err(format!("{text:?} does not begin with a slash")),
            }
        }
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct File {
        pub listener: Several<Address>,
        pub pool: Several<Pool>,
        pub route: Several<Route>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Address {
        pub address: SocketAddr,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Pool {
        pub name: String,
        pub health_check: Option<HealthCheck>,
        pub backend: Several<Address>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct HealthCheck {
        pub interval: Option<Time>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Route {
        pub hosts: Option<Several<String>>,
        pub prefix: Option<Prefix>,
        pub pool: Spanned<String>,
    }

    /// Reads the file; in an error, the line is quoted.
    pub fn read(path: &str) -> Result<File, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let at = |place: std::ops::Range<usize>, what: &str| {
            let before = &text[..place.start.min(text.len())];
            let begin = before.rfind('\n').map_or(0, |end| end + 1);
            let line = text[begin..].lines().next().unwrap_or_default();
            format!("{path}, line {}: {what}\n    {line}", before.split('\n').count())
        };
        let file: File = toml::from_str(&text)
            .map_err(|error| at(error.span().unwrap_or(0..0), error.message()))?;
        for route in &file.route.0 {
            let name = route.pool.get_ref();
            if file.pool.0.iter().all(|pool| pool.name != *name) {
                return Err(at(route.pool.span(), "there is no pool of this name"));
            }
        }
        Ok(file)
    }
}

struct Place {
    address: SocketAddr,
    up: AtomicBool,
}

struct Pool {
    name: String,
    interval: Duration,
    places: Vec<Place>,
    turn: AtomicUsize,
}

/// What a request must have, to go to the pool of this number.
struct Rule {
    hosts: Vec<String>,
    /// Empty for any path.
    prefix: String,
    pool: usize,
}

struct Table {
    rules: Vec<Rule>,
    pools: Vec<Pool>,
}

impl Rule {
    fn fits(&self, host: &str, path: &str) -> bool {
        let below = path.strip_prefix(&self.prefix);
        (self.hosts.is_empty() || self.hosts.iter().any(|one| one == host))
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The greater, the more a rule asks for.
    fn rank(&self) -> (bool, usize) {
        (!self.hosts.is_empty(), self.prefix.matches('/').count())
    }
}

impl Pool {
    /// The next place that is up and whose bit is not set.
    fn choose(&self, tried: u64) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Relaxed);
        (0..self.places.len())
            .map(|step| turn.wrapping_add(step) % self.places.len())
            .find(|&at| tried & (1 << at) == 0 && self.places[at].up.load(Relaxed))
    }

    /// Looks at each place once.
    async fn look(&self) {
        for place in &self.places {
            let connect = tokio::net::TcpStream::connect(place.address);
            let connected = tokio::time::timeout(Duration::from_secs(1), connect).await;
            place.up.store(matches!(connected, Ok(Ok(_))), Relaxed);
        }
    }
}

impl Table {
    /// The number of the pool.
    fn find(&self, request: &RequestHeader) -> Option<usize> {
        let host = request.headers.get("host").and_then(|host| host.to_str().ok());
        let host = request.uri.host().or(host.map(without_port)).unwrap_or_default();
        let (host, path) = (host.to_lowercase(), plain(request.uri.path()));
        let fitting = self.rules.iter().filter(|rule| rule.fits(&host, &path));
        // Of equals the first: `max_by_key` would take the last.
        fitting.rev().max_by_key(|rule| rule.rank()).map(|rule| rule.pool)
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
        let mut due: Vec<_> =
            self.pools.iter().map(|pool| (tokio::time::Instant::now(), pool)).collect();
        loop {
            due.sort_by_key(|(at, _)| *at);
            let (at, pool) = &mut due[0];
            tokio::select! {
                () = tokio::time::sleep_until(*at) => {}
                _ = shutdown.changed() => return,
            }
            pool.look().await;
            *at += pool.interval;
        }
    }
}

/// One line of the log, with the fields in this order.
#[derive(serde::Serialize)]
struct Line<'a> {
    time_ms: u128,
    request_id: &'a str,
    method: &'a str,
    path: &'a str,
    status: Option<u16>,
    backend: Option<SocketAddr>,
    tries: u32,
    duration_ms: f64,
}

struct Proxy {
    table: Arc<Table>,
    name: String,
    log: std::sync::mpsc::Sender<String>,
}

struct Tries {
    begun: std::time::Instant,
    id: String,
    tries: u32,
    pool: usize,
    current: Option<usize>,
    tried: u64,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Tries;

    fn new_ctx(&self) -> Tries {
        Tries {
            begun: std::time::Instant::now(),
            id: random_id(),
            tries: 0,
            pool: 0,
            current: None,
            tried: 0,
        }
    }

    async fn request_filter(&self, session: &mut Session, tries: &mut Tries) -> Result<bool> {
        match self.table.find(session.req_header()) {
            Some(pool) => {
                tries.pool = pool;
                Ok(false)
            }
            None => {
                page(session, 404, &self.name).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, tries: &mut Tries) -> Result<Box<HttpPeer>> {
        let pool = &self.table.pools[tries.pool];
        let Some(at) = pool.choose(tries.tried) else {
            return Error::e_explain(HTTPStatus(503), "every backend was tried or is down");
        };
        tries.current = Some(at);
        tries.tries += 1;
        Ok(Box::new(HttpPeer::new(pool.places[at].address, false, String::new())))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        tries: &mut Tries,
        mut error: Box<Error>,
    ) -> Box<Error> {
        tries.tried |= tries.current.take().map_or(0, |at| 1 << at);
        error.set_retry(true);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        tries: &mut Tries,
    ) -> Result<()> {
        if let Some(backend) = self.backend(tries) {
            request.insert_header("Host", backend.to_string())?;
        }
        request.insert_header("X-Request-Id", &tries.id)?;
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

    async fn logging(&self, session: &mut Session, _: Option<&Error>, tries: &mut Tries) {
        let line = Line {
            time_ms: std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis()),
            request_id: &tries.id,
            method: session.req_header().method.as_str(),
            path: &String::from_utf8_lossy(session.req_header().raw_path()),
            status: session.response_written().map(|answer| answer.status.as_u16()),
            backend: self.backend(tries),
            tries: tries.tries,
            duration_ms: tries.begun.elapsed().as_micros() as f64 / 1e3,
        };
        if let Ok(line) = serde_json::to_string(&line) {
            // Only fails if the thread is gone, and the program with it.
            let _ = self.log.send(line);
        }
    }
}

impl Proxy {
    fn backend(&self, tries: &Tries) -> Option<SocketAddr> {
        Some(self.table.pools[tries.pool].places[tries.current?].address)
    }
}

/// 128 bits from the keys that the standard library draws for its hash maps.
fn random_id() -> String {
    use std::hash::BuildHasher;
    let draw = || std::hash::RandomState::new().hash_one(std::time::Instant::now());
    format!("{:016x}{:016x}", draw(), draw())
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
        404 => "there is nothing here",
        _ => "the request could not be served",
    };
    let mut response = ResponseHeader::build(code, None)?;
    signed(&mut response, name)?;
    response.insert_header("Content-Length", reason.len())?;
    session.set_keepalive(None);
    session.write_response_header(Box::new(response), false).await?;
    session.write_response_body(Some(Bytes::from_static(reason.as_bytes())), true).await
}

/// What the variables say, for who names no file.
fn from_variables(env: impl Fn(&str, &str) -> String) -> Result<(Vec<SocketAddr>, Table), String> {
    let interval = env("LAB_HEALTH_INTERVAL_MS", "1000");
    let interval: u64 = interval.parse().map_err(|_| format!("no number: {interval}"))?;
    let parse = |text: &str| text.trim().parse().map_err(|_| format!("no address: {text}"));
    let pool = |name: &str, default: &str| -> Result<Pool, String> {
        let addresses = env(name, default).split(',').map(parse).collect::<Result<_, _>>()?;
        Ok(Pool::new(name, Duration::from_millis(interval), addresses))
    };
    let rule =
        |hosts: Vec<String>, prefix: &str, pool| Rule { hosts, prefix: prefix.to_owned(), pool };
    let pools = vec![
        pool("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192")?,
        pool("LAB_API_BACKENDS", "127.0.0.1:6190")?,
        pool("LAB_STATIC_BACKENDS", "127.0.0.1:6191")?,
        pool("LAB_ADMIN_BACKENDS", "127.0.0.1:6192")?,
    ];
    let rules = vec![
        rule(vec![], "", 0),
        rule(vec![], "/api", 1),
        rule(vec![], "/static", 2),
        rule(vec![env("LAB_ADMIN_HOST", "admin.test").to_lowercase()], "", 3),
    ];
    Ok((vec![parse(&env("LAB_LISTEN", "127.0.0.1:6188"))?], Table { rules, pools }))
}

fn from_file(path: &str) -> Result<(Vec<SocketAddr>, Table), String> {
    let file = file::read(path)?;
    let rule = |route: file::Route| {
        let hosts = route.hosts.map_or(Vec::new(), |hosts| hosts.0);
        let named = |pool: &file::Pool| pool.name == *route.pool.get_ref();
        Some(Rule {
            hosts: hosts.iter().map(|host| host.to_lowercase()).collect(),
            prefix: route.prefix.map_or(String::new(), |prefix| prefix.0),
            pool: file.pool.0.iter().position(named)?,
        })
    };
    let rules = file.route.0.into_iter().filter_map(rule).collect();
    let pool = |pool: &file::Pool| {
        let interval = pool.health_check.as_ref().and_then(|check| check.interval);
        let interval = interval.map_or(Duration::from_secs(1), |time| time.0);
        let addresses = pool.backend.0.iter().map(|backend| backend.address).collect();
        Pool::new(&pool.name, interval, addresses)
    };
    let pools = file.pool.0.iter().map(pool).collect();
    Ok((file.listener.0.iter().map(|one| one.address).collect(), Table { rules, pools }))
}

impl Pool {
    fn new(name: &str, interval: Duration, addresses: Vec<SocketAddr>) -> Self {
        let place = |address| Place { address, up: AtomicBool::new(true) };
        let places = addresses.into_iter().map(place).collect();
        Self { name: name.to_owned(), interval, places, turn: AtomicUsize::new(0) }
    }
}

fn main() -> ExitCode {
    let env = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let told = match std::env::var("LAB_CONFIG") {
        Ok(path) => from_file(&path),
        Err(_) => from_variables(env),
    };
    let (listen, table) = match told {
        Ok(told) => told,
        Err(error) => {
            eprintln!("the configuration can't be used: {error}");
            return ExitCode::from(78);
        }
    };
    let names: Vec<_> = table.pools.iter().map(|pool| pool.name.as_str()).collect();
    eprintln!("pools: {}", names.join(", "));

    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let health = background_service("health", table);
    let (log, lines) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || lines.iter().for_each(|line| println!("{line}")));
    let name = env("LAB_PROXY_NAME", "pingora-lab");
    let proxy = Proxy { table: health.task(), name, log };
    let mut service = http_proxy_service(&server.configuration, proxy);
    listen.iter().for_each(|address| service.add_tcp(&address.to_string()));
    server.add_service(health);
    server.add_service(service);
    server.run_forever()
}
