//! The same without structs for the file: a walk over the document, which goes on after
//! an error, so that whoever wrote the file hears of all of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::prelude::*;
use pingora_load_balancing::{Backend, Backends, discovery::Static};
use pingora_proxy::FailToProxy;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod target {
    /// What dot segments may be written as, in small letters.
    const HERE: [&str; 2] = [".", "%2e"];
    const UP: [&str; 4] = ["..", ".%2e", "%2e.", "%2e%2e"];

    /// The path without dot segments, if it has any.
    pub fn resolved(path: &str) -> Option<String> {
        let is = |segment: &str, spellings: &[&str]| {
            spellings.contains(&segment.to_ascii_lowercase().as_str())
        };
        let segments: Vec<_> = path.split('/').skip(1).collect();
        if !segments.iter().any(|segment| is(segment, &HERE) || is(segment, &UP)) {
            return None;
        }
        let mut kept = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let (here, up) = (is(segment, &HERE), is(segment, &UP));
            if up {
                kept.pop();
            }
            if !here && !up {
                kept.push(*segment);
            } else if at == segments.len() - 1 {
                // `/a/..` is a folder: its slash stays.
                kept.push("");
            }
        }
        Some(format!("/{}", kept.join("/")))
    }

    /// Whether the path's first segments are these words, letters encoded or not.
    pub fn begins(path: &str, words: &[String]) -> bool {
        let mut segments = path.split('/').skip(1);
        words.iter().all(|word| segments.next().is_some_and(|segment| is(segment, word)))
    }

    fn is(segment: &str, word: &str) -> bool {
        let mut given = segment.bytes();
        word.bytes().all(|wanted| match given.next() {
            Some(b'%') => {
                let code: Vec<u8> = given.by_ref().take(2).collect();
                let code = std::str::from_utf8(&code).ok();
                code.and_then(|code| u8::from_str_radix(code, 16).ok()) == Some(wanted)
            }
            letter => letter == Some(wanted),
        }) && given.next().is_none()
    }
}

/// What the program is told, by a file or by variables.
#[derive(Default)]
struct Told {
    listen: BTreeSet<SocketAddr>,
    pools: BTreeMap<String, (Duration, BTreeSet<SocketAddr>)>,
    routes: Vec<Route>,
}

#[derive(Clone)]
struct Route {
    hosts: Vec<String>,
    /// The words of its prefix.
    words: Vec<String>,
    pool: String,
}

/// A walk over a file, and what is wrong with it so far.
struct Walk<'a> {
    file: &'a str,
    text: &'a str,
    wrong: Vec<(usize, String)>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl Walk<'_> {
    fn wrong(&mut self, at: usize, what: impl Into<String>) {
        let line = self.text[..at.min(self.text.len())].lines().count().max(1);
        let begins = self.text[..at.min(self.text.len())].ends_with('\n');
        self.wrong.push((line + usize::from(begins), what.into()));
    }

    /// The tables under a key; what else is in this table must be one of `known`.
    fn known(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let what =
                format!("`{}` means nothing here; there are {}", key.get_ref(), known.join(", "));
            self.wrong(key.span().start, what);
        }
    }

    fn tables<'a, 'd>(
        &mut self,
        table: &'a DeTable<'d>,
        key: &str,
        at: usize,
    ) -> Vec<(usize, &'a DeTable<'d>)> {
        let Some(value) = table.get(key) else {
            self.wrong(at, format!("there is no [[{key}]]"));
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(value.span().start, format!("`{key}` is a list of tables"));
            return Vec::new();
        };
        if items.is_empty() {
            self.wrong(value.span().start, format!("`{key}` may not be empty"));
        }
        let items: Vec<_> = items.iter().collect();
        items
            .into_iter()
            .filter_map(|item| {
                let table = item.get_ref().as_table();
                if table.is_none() {
                    self.wrong(item.span().start, format!("`{key}` is a list of tables"));
                }
                Some((item.span().start, table?))
            })
            .collect()
    }

    /// A text, if the value is one that `read` understands.
    fn text<T>(
        &mut self,
        value: &Value<'_>,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = value.get_ref().as_str().and_then(read);
        if text.is_none() {
            self.wrong(value.span().start, format!("this is no {what}"));
        }
        text
    }

    fn needed<T>(
        &mut self,
        (at, table): (usize, &DeTable<'_>),
        key: &str,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match table.get(key) {
            Some(value) => self.text(value, what, read),
            None => {
                self.wrong(at, format!("`{key}` is missing"));
                None
            }
        }
    }

    fn whole(&mut self, document: &DeTable<'_>) -> Told {
        let mut told = Told::default();
        self.known(document, &["listener", "pool", "route"]);
        let address = |text: &str| text.parse::<SocketAddr>().ok();
        let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for table in self.tables(document, "listener", 0) {
            self.known(table.1, &["address"]);
            told.listen.extend(self.needed(table, "address", "address like 127.0.0.1:80", address));
        }
        for table in self.tables(document, "pool", 0) {
            self.known(table.1, &["name", "health_check", "backend"]);
            let mut interval = Duration::from_secs(1);
            if let Some(check) = table.1.get("health_check") {
                match check.get_ref().as_table() {
                    Some(check) => {
                        self.known(check, &["interval"]);
                        let value = check.get("interval");
                        let read =
                            value.and_then(|value| self.text(value, "time like 500ms", time));
                        interval = read.unwrap_or(interval);
                    }
                    None => self.wrong(check.span().start, "`health_check` is a table"),
                }
            }
            let mut backends = BTreeSet::new();
            for table in self.tables(table.1, "backend", table.0) {
                self.known(table.1, &["address"]);
                backends.extend(self.needed(
                    table,
                    "address",
                    "address like 127.0.0.1:80",
                    address,
                ));
            }
            let name = self.needed(table, "name", "name", word);
            if let Some(name) = name
                && told.pools.insert(name.clone(), (interval, backends)).is_some()
            {
                self.wrong(table.0, format!("there are two pools `{name}`"));
            }
        }
        for table in self.tables(document, "route", 0) {
            self.known(table.1, &["hosts", "prefix", "pool"]);
            let mut hosts = Vec::new();
            if let Some(list) = table.1.get("hosts") {
                match list.get_ref().as_array() {
                    Some(list) => {
                        for host in list.iter() {
                            let host = self.text(host, "host", word);
                            hosts.extend(host.map(|host| host.to_ascii_lowercase()));
                        }
                    }
                    None => self.wrong(list.span().start, "`hosts` is a list of hosts"),
                }
            }
            let begins = |text: &str| {
                let words = text.strip_prefix('/')?.split('/').filter(|word| !word.is_empty());
                Some(words.map(str::to_owned).collect::<Vec<_>>())
            };
            let prefix = table.1.get("prefix");
            let words =
                prefix.and_then(|prefix| self.text(prefix, "path", begins)).unwrap_or_default();
            let known = |name: &str| told.pools.contains_key(name).then(|| name.to_owned());
            if let Some(pool) = self.needed(table, "pool", "pool of this file", known) {
                told.routes.push(Route { hosts, words, pool });
            }
        }
        told
    }
}

impl Told {
    fn by_file(file: &str) -> Result<Self, Vec<String>> {
        let text =
            std::fs::read_to_string(file).map_err(|error| vec![format!("{file}: {error}")])?;
        let mut walk = Walk { file, text: &text, wrong: Vec::new() };
        let told = match DeTable::parse(&text) {
            Ok(document) => walk.whole(document.get_ref()),
            Err(error) => {
                walk.wrong(error.span().map_or(0, |span| span.start), error.message());
                Self::default()
            }
        };
        let Walk { file, mut wrong, .. } = walk;
        wrong.sort();
        let shown = |(line, what): &(usize, String)| format!("{file}:{line}: {what}");
        if wrong.is_empty() { Ok(told) } else { Err(wrong.iter().map(shown).collect()) }
    }

    fn by_variables(var: impl Fn(&str, &str) -> String) -> Result<Self, Vec<String>> {
        let mut told = Self::default();
        let mut wrong = Vec::new();
        let mut addresses = |name: &str, default: &str| -> BTreeSet<SocketAddr> {
            let list = var(name, default);
            let mut read = BTreeSet::new();
            for one in list.split(',') {
                match one.parse() {
                    Ok(address) => drop(read.insert(address)),
                    Err(error) => wrong.push(format!("{name}: {one}: {error}")),
                }
            }
            read
        };
        told.listen = addresses("LAB_LISTEN", "127.0.0.1:6188");
        let interval = var("LAB_HEALTH_INTERVAL_MS", "1000").parse().unwrap_or(1000);
        for (name, default) in [
            ("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192"),
            ("LAB_API_BACKENDS", "127.0.0.1:6190"),
            ("LAB_STATIC_BACKENDS", "127.0.0.1:6191"),
            ("LAB_ADMIN_BACKENDS", "127.0.0.1:6192"),
        ] {
            let pool = (Duration::from_millis(interval), addresses(name, default));
            told.pools.insert(name.to_owned(), pool);
        }
        let mut route = |hosts: Vec<String>, words: &[&str], pool: &str| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            told.routes.push(Route { hosts, words, pool: pool.to_owned() });
        };
        let admin = var("LAB_ADMIN_HOST", "admin.test").to_ascii_lowercase();
        route(vec![], &[], "LAB_BACKENDS");
        route(vec![], &["api"], "LAB_API_BACKENDS");
        route(vec![], &["static"], "LAB_STATIC_BACKENDS");
        route(vec![admin], &[], "LAB_ADMIN_BACKENDS");
        if wrong.is_empty() { Ok(told) } else { Err(wrong) }
    }
}

fn time(text: &str) -> Option<Duration> {
    match text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?) {
        (number, "ms") => number.parse().ok().map(Duration::from_millis),
        (number, "s") => number.parse().ok().map(Duration::from_secs),
        _ => None,
    }
    .filter(|time| !time.is_zero())
}

struct Proxy {
    pools: BTreeMap<String, Arc<LoadBalancer<RoundRobin>>>,
    routes: Vec<Route>,
    name: String,
}

/// What is known of a request; the line is written at its end.
struct Record {
    begun: tokio::time::Instant,
    id: u64,
    method: String,
    path: String,
    status: u16,
    backend: Option<String>,
}

impl Drop for Record {
    fn drop(&mut self) {
        // Not one was given to it: a connection without a request.
        if self.method.is_empty() {
            return;
        }
        let line = serde_json::json!({
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "backend": self.backend,
            "duration_ms": self.begun.elapsed().as_secs_f64() * 1e3,
            "request_id": self.id(),
        });
        println!("{line}");
    }
}

impl Record {
    fn id(&self) -> String {
        format!("{}-{}", std::process::id(), self.id)
    }
}

static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

struct Ctx {
    record: Record,
    /// The pool of its route; none where no route fits.
    pool: Option<String>,
    /// What is sent on in place of the client's path and query.
    target: Option<String>,
    backend: Option<Backend>,
    failed: Vec<Backend>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        let record = Record {
            begun: tokio::time::Instant::now(),
            id: NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            method: String::new(),
            path: String::new(),
            status: 0,
            backend: None,
        };
        Ctx { record, pool: None, target: None, backend: None, failed: Vec::new() }
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let request = session.req_header();
        ctx.record.method = request.method.to_string();
        ctx.record.path = String::from_utf8_lossy(request.raw_path()).into_owned();
        let resolved = target::resolved(request.uri.path());
        let path = resolved.as_deref().unwrap_or(request.uri.path());
        ctx.pool =
            self.routes.iter().find(|route| route.fits(request, path)).map(|r| r.pool.clone());
        ctx.target = resolved.map(|path| match request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        });
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let Some(pool) = &ctx.pool else {
            return Error::e_explain(HTTPStatus(404), "no route fits");
        };
        let usable = |backend: &Backend, up: bool| up && !ctx.failed.contains(backend);
        let backend = self.pools[pool].select_with(b"", 64, usable);
        let backend = backend.or_err(HTTPStatus(503), "nobody is left")?;
        let mut peer = HttpPeer::new(backend.addr.clone(), false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        ctx.record.backend = Some(backend.addr.to_string());
        ctx.backend = Some(backend);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut e: Box<Error>,
    ) -> Box<Error> {
        ctx.failed.extend(ctx.backend.take());
        ctx.record.backend = None;
        e.set_retry(true);
        e
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Some(target) = &ctx.target {
            request.set_raw_path(target.as_bytes())?;
        }
        request.insert_header("x-request-id", ctx.record.id())?;
        for name in ["x-proxy-added", "x-forwarded-by"] {
            request.insert_header(name, &self.name)?;
        }
        if let Some(backend) = &ctx.backend {
            request.insert_header("host", backend.addr.to_string())?;
        }
        let client = session.client_addr().and_then(|address| address.as_inet());
        request.remove_header("x-forwarded-for");
        if let Some(client) = client {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut pingora::http::ResponseHeader,
        _ctx: &mut Ctx,
    ) -> Result<()> {
        self.own_fields(response)
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, _ctx: &mut Ctx) -> FailToProxy {
        let (code, page) = match (e.etype(), e.esource()) {
            (HTTPStatus(503), _) => (503, "All servers behind this proxy are out of reach.\n"),
            (HTTPStatus(code), _) => (*code, "This request was refused.\n"),
            (_, ErrorSource::Upstream) => (502, "The server broke off.\n"),
            // Whoever has gone gets no answer.
            (_, ErrorSource::Downstream) => (0, ""),
            _ => (500, "The proxy has failed.\n"),
        };
        if code > 0 && session.response_written().is_none() {
            let mut header = pingora::http::ResponseHeader::build(code, Some(4)).unwrap();
            let made = self.own_fields(&mut header);
            debug_assert!(made.is_ok());
            let _ = header.insert_header("content-length", page.len());
            session.set_keepalive(None);
            let written = session.write_response_header(Box::new(header), false).await;
            if written.is_ok() {
                let page = Bytes::from_static(page.as_bytes());
                let _ = session.write_response_body(Some(page), true).await;
            }
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        ctx.record.status = session.response_written().map_or(0, |answer| answer.status.as_u16());
    }
}

impl Route {
    fn fits(&self, request: &RequestHeader, path: &str) -> bool {
        let named = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request.headers.get("host").map_or(&[][..], |host| host.as_bytes()),
        };
        let is = |host: &String| {
            let (Some(start), Some(rest)) = (named.get(..host.len()), named.get(host.len()..))
            else {
                return false;
            };
            let port =
                matches!(rest, [] | [b':', ..]) && rest.iter().skip(1).all(u8::is_ascii_digit);
            start.eq_ignore_ascii_case(host.as_bytes()) && port
        };
        (self.hosts.is_empty() || self.hosts.iter().any(is)) && target::begins(path, &self.words)
    }
}

impl Proxy {
    fn own_fields(&self, header: &mut pingora::http::ResponseHeader) -> Result<()> {
        header.remove_header("server");
        header.insert_header("x-proxy", &self.name)?;
        header.insert_header("x-load-balancer", "round-robin")
    }
}

fn main() {
    let var = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let told = match std::env::var("LAB_CONFIG") {
        Ok(file) => Told::by_file(&file),
        Err(_) => Told::by_variables(var),
    };
    let mut told = told.unwrap_or_else(|wrong| {
        wrong.iter().for_each(|one| eprintln!("{one}"));
        eprintln!("{} in all; nothing was started", wrong.len());
        std::process::exit(2)
    });
    told.routes
        .sort_by_key(|route| std::cmp::Reverse((!route.hosts.is_empty(), route.words.len())));

    let mut server = Server::new(None).unwrap();
    server.bootstrap();

    let mut pools = BTreeMap::new();
    let mut ready = Vec::new();
    for (name, (interval, addresses)) in told.pools {
        let discovery = Static::try_from_iter(addresses).expect("addresses need no resolving");
        let mut balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(discovery));
        balancer.set_health_check(pingora_load_balancing::health_check::TcpHealthCheck::new());
        balancer.health_check_frequency = Some(interval);
        let balancer = background_service(&name, balancer);
        pools.insert(name, balancer.task());
        ready.push(server.add_service(balancer));
    }
    let proxy = Proxy { pools, routes: told.routes, name: var("LAB_PROXY_NAME", "pingora-lab") };
    let mut service = http_proxy_service(&server.configuration, proxy);
    told.listen.iter().for_each(|address| service.add_tcp(&address.to_string()));
    server.add_service(service).add_dependencies(&ready);
    server.run_forever();
}
