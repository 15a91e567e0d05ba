//! 09 configuration. What the file of `LAB_CONFIG` says is done, or the program does not start.
//! 配置文件：`LAB_CONFIG` 里的文件怎么说就怎么做，做不到就不启动。

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::*;
use pingora::services::background::GenBackgroundService;
use pingora_proxy::FailToProxy;

/// Backends that stand for each other: they take turns, and are looked at together.
type Pool = LoadBalancer<RoundRobin>;

/// What the proxy knows: which pool gets what, and the name by which it signs.
struct LabProxy {
    routes: Routes,
    name: String,
    ids: Ids,
}

/// Ids for requests: when the program began, and a number. No two are the same, be
/// they of this run or of another.
struct Ids {
    begun: u128,
    next: AtomicU64,
}

// TODO: structs for the file, with `#[derive(serde::Deserialize)]` and
// `#[serde(deny_unknown_fields)]`: listeners, pools with their backends, routes. Names and
// lists that are to be checked later may be `toml::Spanned`, which keeps their place.
// TODO：为文件定义结构体，加上 `#[derive(serde::Deserialize)]` 和
// `#[serde(deny_unknown_fields)]`：监听地址、池与后端、路由。之后还要检查的名字和列表，
// 可以用 `toml::Spanned`，它会记住位置。

/// The pools, and what decides between them.
///
/// TODO: any number of routes, each with hosts, a prefix and a pool. The best that fits
/// wins: hosts before none, then more segments before fewer. None that fits: 404.
/// TODO：路由条数不限，每条有 hosts、prefix 和 pool。最具体的优先：有 hosts 的先于没有的，
/// 再按前缀段数从多到少。一条也不符合：404。
struct Routes {
    admin_host: String,
    admin: Arc<Pool>,
    api: Arc<Pool>,
    files: Arc<Pool>,
    default: Arc<Pool>,
}

/// What one request remembers from phase to phase.
struct RequestContext {
    /// When its head had come.
    begun: Instant,
    /// By which it is found again, in this log and in the backend's.
    id: String,
    /// The backend that was chosen last.
    backend: Option<String>,
    /// Those that could not be connected to.
    failed: Vec<String>,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        RequestContext {
            begun: Instant::now(),
            id: self.ids.next(),
            backend: None,
            failed: Vec::new(),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // Called again for each further try: the pool is the same then, and a
        // backend that has refused this request is as good as down for it.
        let backend = self
            .routes
            .pool(session.req_header())
            .select_with(b"", 256, |backend, healthy| {
                healthy && !ctx.failed.contains(&backend.addr.to_string())
            })
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no backend is left to try"))?;
        ctx.backend = Some(backend.addr.to_string());
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    /// No connection was made, so no backend has seen anything of the request:
    /// even a POST may go to the next one. (Once a connection is made, Pingora
    /// asks `error_while_proxy` instead, whose default repeats only what is safe, and
    /// may ask the same backend: that a pooled connection was closed says nothing
    /// against it.)
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.failed.extend(ctx.backend.take());
        error.set_retry(true);
        error
    }

    /// The request as the backend will get it.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        request.insert_header("x-proxy-added", &self.name)?;
        request.insert_header("x-forwarded-by", &self.name)?;
        // In place of what the client may have sent under this name.
        request.insert_header("x-request-id", &ctx.id)?;
        if let Some(backend) = &ctx.backend {
            request.insert_header("host", backend)?;
        }
        match session.client_addr().and_then(|address| address.as_inet()) {
            Some(client) => request.insert_header("x-forwarded-for", ip(client))?,
            None => drop(request.remove_header("x-forwarded-for")),
        }
        Ok(())
    }

    /// The answer as the client will get it, if it comes from a backend.
    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        _ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.sign(response)
    }

    /// No backend answered, so the proxy does. Pingora's own error pages pass no
    /// `response_filter`: they are built here, to carry the same headers.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let (status, reason) = status_of(error);
        if status > 0
            && let Err(error) = self.answer(session, status, reason).await
        {
            eprintln!("the error answer was not sent: {error}");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// Called once for each request, at its end, however it ended. What is logged is
    /// named here: a field that nobody names can give nothing away.
    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Self::CTX) {
        let request = session.req_header();
        tracing::info!(
            method = request.method.as_str(),
            path = &*String::from_utf8_lossy(request.raw_path()),
            // 0 where the client had gone before there was an answer.
            status = session.response_written().map_or(0, |response| response.status.as_u16()),
            backend = ctx.backend,
            duration_ms = ctx.begun.elapsed().as_secs_f64() * 1000.0,
            request_id = ctx.id,
        );
    }
}

impl Ids {
    fn new() -> Self {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { begun: begun.as_nanos(), next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{:x}-{:x}", self.begun, self.next.fetch_add(1, Relaxed))
    }
}

impl LabProxy {
    /// Sets the proxy's headers on an answer, whoever made it. Only the fields
    /// named here are touched: two `Set-Cookie` stay two.
    fn sign(&self, response: &mut ResponseHeader) -> Result<()> {
        response.insert_header("x-proxy", &self.name)?;
        response.insert_header("x-load-balancer", "round-robin")?;
        // Which software runs behind us is nobody's business.
        response.remove_header("server");
        Ok(())
    }

    /// Sends an answer of the proxy's own.
    async fn answer(&self, session: &mut Session, status: u16, reason: &str) -> Result<()> {
        let body = format!("{status}: {reason}\n");
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header("content-type", "text/plain; charset=utf-8")?;
        response.insert_header("content-length", body.len())?;
        self.sign(&mut response)?;
        // Does nothing where a backend's answer has begun: a page in the middle of
        // it would make a broken answer look whole. The connection ends with it,
        // since the request may not be read whole.
        session.as_downstream_mut().write_error_response(response, Bytes::from(body)).await
    }
}

impl Routes {
    /// The pool for a request. Only this decision looks at the path as it is meant;
    /// the request itself goes on as it was sent.
    fn pool(&self, request: &RequestHeader) -> &Pool {
        if host(request).is_some_and(|host| host.eq_ignore_ascii_case(&self.admin_host)) {
            return &self.admin;
        }
        match first_segment(request.uri.path()).as_deref() {
            Some(b"api") => &self.api,
            Some(b"static") => &self.files,
            _ => &self.default,
        }
    }
}

/// The host that a request is for, without its port. HTTP/2 has it in the URI,
/// HTTP/1 in a field of its own.
fn host(request: &RequestHeader) -> Option<&str> {
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get("host")?.to_str().ok()?,
    };
    // What follows the last colon need not be a port: `[::1]` has colons too.
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(host),
        _ => Some(authority),
    }
}

/// The first segment of a path as its reader will understand it: decoded, once,
/// and with dot segments resolved (RFC 3986, section 5.2.4).
fn first_segment(path: &str) -> Option<Vec<u8>> {
    let mut segments = Vec::new();
    for segment in path.split('/').skip(1).map(decoded) {
        match segment.as_slice() {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments.into_iter().next()
}

/// The bytes that a percent-encoded segment stands for. It was split at `/` before:
/// an encoded slash is a byte of a segment, and no boundary.
fn decoded(segment: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = after.get(..2).filter(|_| *first == b'%').and_then(byte);
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// The byte that two hexadecimal digits stand for.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// The status for a failure, and the reason that the client is given; 0 where
/// the client is gone and none can be sent.
fn status_of(error: &Error) -> (u16, &'static str) {
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(503)) => (503, "no backend is available, try again later"),
        (_, HTTPStatus(status)) => (*status, "the proxy refused this request"),
        (ErrorSource::Upstream, _) => (502, "the backend failed before it had answered"),
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed) => (0, "client gone"),
        (ErrorSource::Downstream, _) => (400, "the request could not be read"),
        _ => (500, "the proxy failed"),
    }
}

/// An address without its port.
fn ip(address: &SocketAddr) -> String {
    address.ip().to_string()
}

/// A setting from the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The pool of a setting, with health checks at this interval.
fn pool(name: &str, default: &str, interval: Duration) -> GenBackgroundService<Pool> {
    let mut pool: Pool = LoadBalancer::try_from_iter(setting(name, default).split(','))
        .unwrap_or_else(|error| panic!("{name} is a list of addresses: {error}"));
    pool.set_health_check(TcpHealthCheck::new());
    pool.health_check_frequency = Some(interval);
    pool.parallel_health_check = true;
    background_service(&format!("health checks of {name}"), pool)
}

fn main() {
    // TODO: if LAB_CONFIG is set, read that file, whole, before anything else, and take
    // listeners, pools and routes from it alone. If anything is wrong: `FILE:LINE: what` on
    // the standard error, and `std::process::exit(1)`.
    // TODO：如果设置了 LAB_CONFIG，先把那个文件完整读入并检查，监听地址、池和路由都只取自它。
    // 有任何错误，就在标准错误上写“文件:行号: 说明”，然后 `std::process::exit(1)`。
    let listen = setting("LAB_LISTEN", "127.0.0.1:6188");
    let name = setting("LAB_PROXY_NAME", "pingora-lab");
    let interval = setting("LAB_HEALTH_INTERVAL_MS", "1000")
        .parse()
        .map(Duration::from_millis)
        .expect("LAB_HEALTH_INTERVAL_MS is a number of milliseconds");

    let default = pool("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192", interval);
    let api = pool("LAB_API_BACKENDS", "127.0.0.1:6190", interval);
    let files = pool("LAB_STATIC_BACKENDS", "127.0.0.1:6191", interval);
    let admin = pool("LAB_ADMIN_BACKENDS", "127.0.0.1:6192", interval);
    let routes = Routes {
        admin_host: setting("LAB_ADMIN_HOST", "admin.test"),
        admin: admin.task(),
        api: api.task(),
        files: files.task(),
        default: default.task(),
    };

    // The fields of an event beside each other, and not in an object of their own.
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).init();

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let mut proxy =
        http_proxy_service(&server.configuration, LabProxy { routes, name, ids: Ids::new() });
    proxy.add_tcp(&listen);

    let health = [default, api, files, admin].map(|pool| server.add_service(pool));
    server.add_service(proxy).add_dependencies(&health);
    server.run_forever();
}
