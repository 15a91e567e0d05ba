//! Metrics: what the proxy counts is what has happened, for Prometheus to read.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, DecodingKey};
use pingora::http::ResponseHeader;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::protocols::Digest;
use pingora::services::background::GenBackgroundService;
use pingora::tls::sign::CertifiedKey;
use pingora::tls::{
    CertificateDer, ClientHello, CryptoProvider, ResolvesServerCert, load_certs_and_key_files,
};
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::consistent::{KetamaHashing, OwnedNodeIterator};
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Backends};
use pingora_prometheus::prometheus::{
    Histogram, IntCounterVec, register_histogram, register_int_counter_vec,
};
use pingora_proxy::FailToProxy;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use auth::{Kind, Passwords, Policy, Tokens};
use breaker::{Attempt, Breaker};
use wait::Wait;

/// How long an unused connection to a backend is kept: less than backends keep it, so that they
/// seldom close it at the moment at which it is used.
const IDLE: Duration = Duration::from_secs(4);

/// All that the file says. What it does not know is an error: an unknown key is a
/// misspelt one, and whoever wrote it believes that it does something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listener: Vec<ListenerConfig>,
    /// No metrics are shown if there is none.
    admin: Option<AdminConfig>,
    #[serde(default)]
    rate_limit: BTreeMap<String, RateLimitConfig>,
    #[serde(default)]
    auth: BTreeMap<String, AuthConfig>,
    pool: Vec<PoolConfig>,
    route: Vec<RouteConfig>,
    /// What came of `auth`, with what is in its files.
    #[serde(skip)]
    policies: BTreeMap<String, Arc<Policy>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerConfig {
    address: SocketAddr,
    /// The port at which the same is to be had over TLS: who comes here is sent there.
    redirect_to_https: Option<NonZeroU16>,
    tls: Option<TlsConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsConfig {
    certificates: Spanned<Vec<CertificateConfig>>,
    /// What is in the files, once it was checked.
    #[serde(skip)]
    loaded: Option<Arc<Certificates>>,
}

/// The paths of two files in PEM: a certificate, with those that vouch for it behind it,
/// and its key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateConfig {
    certificate: Spanned<String>,
    key: Spanned<String>,
}

/// Where those are who look after the proxy, and nobody else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminConfig {
    address: SocketAddr,
}

/// Names and lists come with their place in the file, since what is wrong with them
/// is seen only when all is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolConfig {
    name: Spanned<String>,
    #[serde(default)]
    balance: Balance,
    hash_by: Option<HashBy>,
    #[serde(default)]
    health_check: HealthCheckConfig,
    #[serde(default)]
    timeouts: TimeoutsConfig,
    /// None if the file does not say it.
    circuit_breaker: Option<CircuitBreakerConfig>,
    backend: Spanned<Vec<BackendConfig>>,
}

/// How a backend is chosen.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Balance {
    /// Everyone in turn.
    #[default]
    RoundRobin,
    /// Everyone has keys of its own.
    ConsistentHash,
}

/// Where the key of a request is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashBy {
    /// The value of this field is the key.
    header: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthCheckConfig {
    #[serde(deserialize_with = "time")]
    interval: Duration,
}

/// How long a backend is waited for.
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TimeoutsConfig {
    /// Between two pieces of an answer, the first included.
    #[serde(deserialize_with = "time")]
    read: Duration,
    /// For the head of the answer, over all tries, from the last of the request that has come.
    #[serde(deserialize_with = "time")]
    total: Duration,
}

/// When a backend is left alone, and for how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CircuitBreakerConfig {
    /// So many failures in a row.
    #[serde(default = "five")]
    consecutive_failures: NonZeroU32,
    #[serde(default = "ten_seconds", deserialize_with = "time")]
    open_for: Duration,
    /// The answers that are failures. A broken connection always is one.
    #[serde(default)]
    statuses: Vec<u16>,
}

/// So many requests a second for each client address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitConfig {
    requests: NonZeroU32,
    /// How many may come at once after a pause; as many as `requests` if it does not say.
    burst: Option<NonZeroU32>,
    /// Of how many clients something is remembered, at most.
    #[serde(default = "many")]
    clients: NonZeroUsize,
}

/// How clients show who they are: by exactly one of `basic` and `jwt`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthConfig {
    /// The field by which backends are told.
    #[serde(default = "user_header")]
    user_header: Spanned<String>,
    basic: Option<BasicConfig>,
    jwt: Option<JwtConfig>,
}

/// Users and passwords, in a file as `htpasswd -B` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicConfig {
    file: Spanned<PathBuf>,
}

/// Signed tokens. They are verified with the secret or with the public key (a file in PEM).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtConfig {
    algorithms: Spanned<Vec<Algorithm>>,
    secret: Option<Spanned<String>>,
    public_key: Option<Spanned<PathBuf>>,
    /// Whose tokens are taken; anybody's if there is none.
    #[serde(default)]
    issuer: Vec<String>,
    /// For whom they must be.
    #[serde(default)]
    audience: Vec<String>,
    /// By how much clocks may differ.
    #[serde(default = "half_a_minute", deserialize_with = "time")]
    leeway: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendConfig {
    address: SocketAddr,
    /// Its share, beside the weights of the others. A backend that is to get nothing does
    /// not belong into the file: 0 is no weight.
    #[serde(default = "one")]
    weight: NonZeroU16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteConfig {
    /// Any host if there is none.
    #[serde(default)]
    hosts: Vec<String>,
    /// The beginning of the path, in whole segments; any path if there is none.
    prefix: Option<String>,
    /// The names of limits, which all must have room.
    #[serde(default)]
    rate_limit: Vec<Spanned<String>>,
    /// The name of the policy that says who may; everybody if there is none.
    auth: Option<Spanned<String>>,
    pool: Spanned<String>,
}

/// By what the file says and a few words, never by what a client sends: each combination of
/// values is a series, here and in Prometheus, for as long as both run.
static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests that have ended, by the backend that they went to last.";
    let labels = &["backend", "status"];
    register_int_counter_vec!("pingora_lab_requests_total", help, labels)
        .expect("nothing else has this name")
});

static DURATION: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "From the end of a request's header to the end of its answer.";
    register_histogram!("pingora_lab_request_duration_seconds", help)
        .expect("nothing else has this name")
});

/// Why a file can't be used, and where in it, if it is one place.
struct Misfit {
    what: String,
    place: Option<Range<usize>>,
}

/// Backends that stand for each other, and are looked at together.
type Backing = LoadBalancer<Choice>;

/// How a pool chooses.
enum Choice {
    Turns(Arc<Smooth>),
    Ring(Arc<KetamaHashing>),
}

/// The candidates for one request, the best first.
enum Candidates {
    Turns(Turn),
    /// From the key's place on the ring onwards.
    Ring(OwnedNodeIterator),
}

/// Backends, each with its breaker.
struct Pool {
    backing: Arc<Backing>,
    /// The field that has the key, where the pool goes by one.
    key: Option<String>,
    /// By address; none where the pool has no breakers.
    breakers: HashMap<String, Arc<Breaker>>,
    /// The answers that are failures.
    statuses: Vec<u16>,
    timeouts: TimeoutsConfig,
}

/// Smooth weighted round robin. With each turn every backend gains its weight; the one with
/// the most then takes the turn, and pays what all have gained together.
struct Smooth {
    backends: Box<[Backend]>,
    /// What each has gained and not paid, in the order of the backends. The sum is 0.
    credits: Mutex<Box<[i64]>>,
}

/// The turn of one request: whoever is due; and if that one is not taken, whoever would have
/// been due without it.
struct Turn {
    pool: Arc<Smooth>,
    /// Who was offered. All but the last were not taken.
    offered: Vec<usize>,
}

/// What the proxy knows: which pool gets what, and the name by which it signs.
#[derive(Clone)]
struct LabProxy {
    routes: Arc<Routes>,
    name: String,
    ids: Arc<Ids>,
    /// The fields by which backends are told of users, of all policies.
    user_headers: Vec<HeaderName>,
    /// Where clients are sent that come without TLS, if they are.
    redirect: Option<NonZeroU16>,
}

/// Certificates with their keys, by the names that they are for.
#[derive(Debug)]
struct Certificates {
    /// In small letters; one that is for a whole domain as it stands there: `*.a.test`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that ask for another name, or for none.
    first: Arc<CertifiedKey>,
}

/// Ids for requests: when the program began, and a number. No two are the same, be
/// they of this run or of another.
struct Ids {
    begun: u128,
    next: AtomicU64,
}

/// What decides what becomes of a request: the first that fits.
struct Routes(Vec<Arc<Route>>);

/// Requests for these hosts, or for any, whose path begins so.
struct Route {
    hosts: Vec<String>,
    /// The segments of its prefix.
    prefix: Vec<Vec<u8>>,
    limits: Vec<Arc<Limit>>,
    policy: Option<Arc<Policy>>,
    pool: Arc<Pool>,
}

/// A bucket for each client address. A full one holds a burst; it fills up again as
/// evenly as requests may come.
struct Limit(RateLimiter<IpAddr, Buckets, DefaultClock>);

/// The buckets of the clients that came last, each as one number: the time at which it
/// would be full again.
///
/// There are two halves. Who comes is noted in the new one; when that is full, it becomes
/// the old one, and the old one is forgotten. So there is never more than there may be,
/// nothing has to be searched for what could go, and who keeps coming stays.
struct Buckets {
    half: usize,
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    new: HashMap<IpAddr, Nanos>,
    old: HashMap<IpAddr, Nanos>,
}

/// What one request remembers from phase to phase.
struct RequestContext {
    /// When its head had come.
    begun: Instant,
    /// When the last of it had, so far.
    came: Instant,
    /// Whether all of it has.
    whole: bool,
    /// By which it is found again, in this log and in the backend's.
    id: String,
    /// The route that it takes.
    route: Option<Arc<Route>>,
    /// Who sent it, if its route asks for that.
    user: Option<HeaderValue>,
    /// The backend that was chosen last.
    backend: Option<String>,
    /// What its breaker is still to hear of.
    attempt: Option<Attempt>,
    /// As long as the head of the answer has not come.
    wait: Option<Wait>,
    /// Those that could not be connected to.
    failed: Vec<String>,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        let now = Instant::now();
        RequestContext {
            begun: now,
            came: now,
            whole: false,
            id: self.ids.next(),
            route: None,
            user: None,
            backend: None,
            attempt: None,
            wait: None,
            failed: Vec::new(),
        }
    }

    /// Before a backend is chosen. Who asks for too much, or does not show who it is, is
    /// answered here, and `true` says so: nothing more is to be done.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        if let Some(port) = self.redirect {
            let there = over_tls(session.req_header(), port)
                .ok_or_else(|| Error::explain(HTTPStatus(400), "the request names no host"))?;
            self.answer(session, 308, "this is served over TLS", Some(("location", there))).await?;
            return Ok(true);
        }
        let route = self
            .routes
            .find(session.req_header())
            .ok_or_else(|| Error::explain(HTTPStatus(404), "no route fits"))?;
        ctx.route = Some(Arc::clone(route));
        // Where the connection comes from, without its port, which is another for each
        // connection. What the request says of itself may be anything.
        let client =
            session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
        let refuses = |client| route.limits.iter().find_map(|limit| limit.refuses(client));
        // Before passwords, so that they can't be tried by the thousand.
        if let Some(wait) = client.and_then(refuses) {
            let wait = Some(("retry-after", wait.to_string()));
            self.answer(session, 429, "too many requests, try again later", wait).await?;
            return Ok(true);
        }
        let Some(policy) = &route.policy else { return Ok(false) };
        ctx.user = policy.identify(&session.req_header().headers).await;
        if ctx.user.is_some() {
            return Ok(false);
        }
        // No word of why: it would help whoever tries.
        let challenge = Some(("www-authenticate", policy.challenge()));
        self.answer(session, 401, "show who you are", challenge).await?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // Called again for each further try: the pool is the same then, and a
        // backend that has refused this request is as good as down for it.
        let route =
            ctx.route.as_ref().ok_or_else(|| Error::explain(HTTPStatus(404), "no route fits"))?;
        // What earlier tries have taken is gone.
        let limits = &route.pool.timeouts;
        let left = (ctx.came + limits.total).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(too_late());
        }
        let (backend, attempt) = route
            .pool
            .choose(session, &ctx.failed)
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no backend is left to try"))?;
        ctx.backend = Some(backend.addr.to_string());
        ctx.attempt = attempt;
        let mut peer = HttpPeer::new(backend, false, String::new());
        peer.options.connection_timeout = Some(left);
        peer.options.total_connection_timeout = Some(left);
        // Of each read alone: whoever sends a byte now and then never comes near it.
        peer.options.read_timeout = Some(limits.read);
        peer.options.idle_timeout = Some(IDLE);
        Ok(Box::new(peer))
    }

    /// The request is about to be sent, over a connection that is new or was pooled.
    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        connection: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(route) = &ctx.route {
            let until = ctx.came + route.pool.timeouts.total;
            let wait = Wait::begin(connection, until);
            ctx.wait = Some(wait.or_err(InternalError, "no wait for the backend")?);
        }
        Ok(())
    }

    /// More of the request's body has come. A client that takes its time is not the backend's
    /// fault.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        // Where it is sent again, nothing of it comes anew.
        if ctx.whole {
            return Ok(());
        }
        ctx.whole = end_of_stream;
        ctx.came = Instant::now();
        if let (Some(wait), Some(route)) = (&ctx.wait, &ctx.route) {
            wait.extend(ctx.came + route.pool.timeouts.total);
        }
        Ok(())
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
        ctx.attempt.take().into_iter().for_each(Attempt::failed);
        ctx.failed.extend(ctx.backend.take());
        error.set_retry(true);
        error
    }

    /// The connection broke before there was an answer. One that was pooled may have been
    /// closed meanwhile, which says nothing.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let over = ctx.wait.take().is_some_and(Wait::end);
        let by_backend = *error.esource() == ErrorSource::Upstream;
        if by_backend && (over || *error.etype() == ReadTimedout) {
            // Who has not heard all can't answer: a client that stalls is not its fault.
            if session.is_body_done() {
                ctx.attempt.take().into_iter().for_each(Attempt::failed);
            }
            // The backend may be at work on it still: a second try would be a second order,
            // and more load where there is too much.
            return too_late();
        }
        if by_backend && !client_reused {
            ctx.attempt.take().into_iter().for_each(Attempt::failed);
        }
        // As Pingora's own: what is safe, and may have met with a closed connection.
        let safe = session.req_header().method.is_idempotent();
        if safe && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(client_reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    /// The answer as it comes from the backend.
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        // What comes before the answer (103) says nothing of it; 101 is the answer.
        if response.status.is_informational() && response.status != 101 {
            return Ok(());
        }
        // From here on the connection may be another request's before long.
        if ctx.wait.take().is_some_and(Wait::end) {
            return Err(too_late());
        }
        let statuses = ctx.route.as_ref().map_or(&[][..], |route| &route.pool.statuses);
        if let Some(attempt) = ctx.attempt.take() {
            if statuses.contains(&response.status.as_u16()) {
                attempt.failed();
            } else {
                attempt.succeeded();
            }
        }
        Ok(())
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
        self.strip(request);
        if let Some(policy) = ctx.route.as_ref().and_then(|route| route.policy.as_ref()) {
            // It has done its work here. Whoever has it can be the user anywhere.
            request.remove_header(&AUTHORIZATION);
            if let Some(user) = &ctx.user {
                request.insert_header(policy.user_header.clone(), user.clone())?;
            }
        }
        if let Some(backend) = &ctx.backend {
            request.insert_header("host", backend)?;
        }
        // How the client came is known from its connection, and from nowhere else.
        let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        request.insert_header("x-forwarded-proto", if tls { "https" } else { "http" })?;
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
            && let Err(error) = self.answer(session, status, reason, None).await
        {
            eprintln!("the error answer was not sent: {error}");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// Called once for each request, at its end, however it ended. What is logged is
    /// named here: a field that nobody names can give nothing away.
    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Self::CTX) {
        // 0 where the client had gone before there was an answer.
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let backend = ctx.backend.as_deref().unwrap_or("-");
        let took = ctx.begun.elapsed().as_secs_f64();
        REQUESTS.with_label_values(&[backend, class(status)]).inc();
        DURATION.observe(took);
        let request = session.req_header();
        tracing::info!(
            method = request.method.as_str(),
            path = &*String::from_utf8_lossy(request.raw_path()),
            status,
            backend = ctx.backend,
            duration_ms = took * 1000.0,
            request_id = ctx.id,
        );
    }
}

impl Limit {
    fn new(config: &RateLimitConfig) -> Self {
        let burst = config.burst.unwrap_or(config.requests);
        let quota = Quota::per_second(config.requests).allow_burst(burst);
        Self(RateLimiter::new(quota, Buckets::new(config.clients), DefaultClock::default()))
    }

    /// Takes a request out of the client's bucket; if there is none in it, says in how many
    /// seconds there is.
    fn refuses(&self, client: IpAddr) -> Option<u64> {
        let until = self.0.check_key(&client).err()?;
        // In whole seconds, and not too few: who comes back then is let through.
        Some(until.wait_time_from(self.0.clock().now()).as_secs() + 1)
    }
}

impl Buckets {
    fn new(clients: NonZeroUsize) -> Self {
        Self { half: clients.get().div_ceil(2), halves: Mutex::default() }
    }
}

impl StateStore for Buckets {
    type Key = IpAddr;

    /// Lets `measure` decide on what is known of a client, and notes what it makes of it.
    fn measure_and_replace<T, F, E>(&self, client: &IpAddr, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = halves.new.get(client).or_else(|| halves.old.get(client)).copied();
        let (decided, bucket) = match measure(known) {
            Ok((passed, bucket)) => (Ok(passed), Some(bucket)),
            // It has come all the same, and must not be forgotten for that.
            Err(refused) => (Err(refused), known),
        };
        if let Some(bucket) = bucket {
            if halves.new.len() >= self.half && !halves.new.contains_key(client) {
                halves.old = std::mem::take(&mut halves.new);
            }
            halves.new.insert(*client, bucket);
        }
        decided
    }
}

impl BackendSelection for Choice {
    type Iter = Candidates;
    type Config = Balance;

    fn build_with_config(backends: &BTreeSet<Backend>, balance: &Balance) -> Self {
        match balance {
            Balance::RoundRobin => Self::Turns(Arc::new(Smooth::build(backends))),
            Balance::ConsistentHash => Self::Ring(Arc::new(KetamaHashing::build(backends))),
        }
    }

    fn build(backends: &BTreeSet<Backend>) -> Self {
        Self::build_with_config(backends, &Balance::default())
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Candidates {
        match &**self {
            Self::Turns(turns) => Candidates::Turns(turns.iter(key)),
            Self::Ring(ring) => Candidates::Ring(ring.iter(key)),
        }
    }
}

impl BackendIter for Candidates {
    fn next(&mut self) -> Option<&Backend> {
        match self {
            Self::Turns(turn) => turn.next(),
            Self::Ring(nodes) => nodes.next(),
        }
    }
}

impl BackendSelection for Smooth {
    type Iter = Turn;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let credits = Mutex::new(vec![0; backends.len()].into());
        Self { backends: backends.iter().cloned().collect(), credits }
    }

    /// There is no key by which these are chosen.
    fn iter(self: &Arc<Self>, _key: &[u8]) -> Turn {
        Turn { pool: Arc::clone(self), offered: Vec::new() }
    }
}

impl Smooth {
    /// The backends that are not left out, with their weights.
    fn among<'a>(&'a self, without: &'a [usize]) -> impl Iterator<Item = (usize, i64)> + 'a {
        let weight = |backend: &Backend| i64::try_from(backend.weight).unwrap_or(i64::MAX);
        let all = self.backends.iter().enumerate();
        all.filter(|(place, _)| !without.contains(place))
            .map(move |(place, backend)| (place, weight(backend)))
    }

    /// A turn without these: the one that takes it, if there is one left.
    fn take(&self, credits: &mut [i64], without: &[usize]) -> Option<usize> {
        let mut sum = 0;
        let mut due: Option<usize> = None;
        for (place, weight) in self.among(without) {
            credits[place] += weight;
            sum += weight;
            // Of equals the first.
            if due.is_none_or(|due| credits[place] > credits[due]) {
                due = Some(place);
            }
        }
        credits[due?] -= sum;
        due
    }

    /// As if that turn had not been. It is sums alone, so it does not matter how many turns
    /// of other requests have come between.
    fn give_back(&self, credits: &mut [i64], without: &[usize], taken: usize) {
        for (place, weight) in self.among(without) {
            credits[place] -= weight;
            credits[taken] += weight;
        }
    }
}

impl BackendIter for Turn {
    /// Asked again only if the backend before was not taken: it is down, or has refused this
    /// request already.
    fn next(&mut self) -> Option<&Backend> {
        let Self { pool, offered } = self;
        let mut credits = pool.credits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, before)) = offered.split_last() {
            pool.give_back(&mut credits, before, *last);
        }
        let due = pool.take(&mut credits, offered)?;
        offered.push(due);
        Some(&pool.backends[due])
    }
}

/// A policy knows nothing of routes and answers: it is asked who sent a request.
mod auth {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde::Deserialize;
    use tokio::sync::Semaphore;

    /// So many passwords are verified at a time, and never on a thread that serves requests.
    const PLACES: usize = 2;

    /// Who may, and how the backend is told.
    pub struct Policy {
        pub user_header: HeaderName,
        pub kind: Kind,
    }

    /// How clients show who they are.
    pub enum Kind {
        Passwords(Passwords),
        Tokens(Box<Tokens>),
    }

    /// Users, with the hashes of their passwords.
    pub struct Passwords {
        users: HashMap<String, String>,
        places: Arc<Semaphore>,
    }

    /// What makes a token right.
    pub struct Tokens {
        key: DecodingKey,
        check: Validation,
    }

    /// What is read of a token's claims; the library has looked at the others.
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }

    impl Policy {
        /// Who sent a request, as the backend is told it; none if that was not shown.
        pub async fn identify(&self, headers: &HeaderMap) -> Option<HeaderValue> {
            let shown = credential(headers, self.scheme())?;
            let user = match &self.kind {
                Kind::Passwords(passwords) => passwords.identify(shown).await?,
                Kind::Tokens(tokens) => tokens.identify(shown)?,
            };
            HeaderValue::from_bytes(user.as_bytes()).ok()
        }

        /// What whoever is refused is told to come with (RFC 9110, section 11.6.1).
        pub fn challenge(&self) -> String {
            format!("{} realm=\"lab\"", self.scheme())
        }

        fn scheme(&self) -> &'static str {
            match self.kind {
                Kind::Passwords(_) => "Basic",
                Kind::Tokens(_) => "Bearer",
            }
        }
    }

    /// What follows the scheme in the `Authorization` field.
    fn credential<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        // Of two, whoever looks next may take the other.
        let (Some(field), None) = (fields.next(), fields.next()) else { return None };
        let (named, shown) = field.to_str().ok()?.split_once(' ')?;
        named.eq_ignore_ascii_case(scheme).then(|| shown.trim())
    }

    impl Passwords {
        /// Reads lines of `user:hash`. The error is the number of a line that is none.
        pub fn parse(file: &str) -> Result<Self, usize> {
            let mut users = HashMap::new();
            for (number, line) in (1_usize..).zip(file.lines()) {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let (user, hash) = line.split_once(':').ok_or(number)?;
                hash.parse::<bcrypt::HashParts>().map_err(|_| number)?;
                users.insert(user.to_owned(), hash.to_owned());
            }
            // Nobody could pass.
            if users.is_empty() {
                return Err(1);
            }
            Ok(Self { users, places: Arc::new(Semaphore::new(PLACES)) })
        }

        async fn identify(&self, shown: &str) -> Option<String> {
            let shown = String::from_utf8(STANDARD.decode(shown).ok()?).ok()?;
            // The first colon ends the name; a password may have more.
            let (user, password) = shown.split_once(':')?;
            // Of somebody who is not there as much work is made, so that nobody can ask who is.
            let known = self.users.get(user);
            let hash = known.or(self.users.values().next())?.clone();
            let password = password.to_owned();
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let verified = tokio::task::spawn_blocking(move || {
                let right = bcrypt::verify(password, &hash);
                // Not before, whoever has gone away meanwhile.
                drop(place);
                right
            });
            let right = verified.await.ok()?.ok()?;
            (right && known.is_some()).then(|| user.to_owned())
        }
    }

    impl Tokens {
        /// For tokens that are signed with one of these algorithms, of which there is one. What a
        /// token says of itself only chooses among them.
        pub fn new(
            key: DecodingKey,
            algorithms: &[Algorithm],
            issuer: &[String],
            audience: &[String],
            leeway: Duration,
        ) -> Self {
            let mut check = Validation::new(algorithms[0]);
            check.algorithms = algorithms.to_vec();
            check.leeway = leeway.as_secs();
            // Both are left out by the library where nobody asks for them.
            check.validate_nbf = true;
            let mut needed = vec!["exp"];
            if !issuer.is_empty() {
                check.set_issuer(issuer);
                needed.push("iss");
            }
            // Where there is none, a token that is for somebody is not for us.
            if !audience.is_empty() {
                check.set_audience(audience);
                needed.push("aud");
            }
            check.set_required_spec_claims(&needed);
            Self { key, check }
        }

        fn identify(&self, token: &str) -> Option<String> {
            let token = jsonwebtoken::decode::<Claims>(token, &self.key, &self.check).ok()?;
            Some(token.claims.sub)
        }
    }
}

/// A breaker knows nothing of requests and backends: somebody asks whether to try, and says
/// how that ended.
mod breaker {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::{Duration, Instant};

    /// Of one backend.
    pub struct Breaker {
        most: u32,
        open_for: Duration,
        state: Mutex<State>,
    }

    ///                so many failures in a row
    ///     Closed ------------------------------> Open
    ///        ^                                   |  ^
    ///        |                  after `open_for` |  | it fails
    ///        |    it succeeds                    v  |
    ///        '---------------------------------- HalfOpen: one attempt at a time
    enum State {
        Closed { failures: u32 },
        Open { since: Instant },
        HalfOpen { under_way: bool },
    }

    /// A request on its way to the backend. Who drops it says nothing: the client went away,
    /// or the backend was not asked after all.
    pub struct Attempt {
        breaker: Arc<Breaker>,
        /// The one that decides.
        trial: bool,
    }

    impl Breaker {
        pub fn new(most: u32, open_for: Duration) -> Self {
            Self { most, open_for, state: Mutex::new(State::Closed { failures: 0 }) }
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Whether the backend may be tried. Whoever asks must try it then.
        pub fn attempt(self: &Arc<Self>) -> Option<Attempt> {
            let mut state = self.state();
            let trial = match *state {
                State::Closed { .. } => false,
                State::Open { since } if since.elapsed() < self.open_for => return None,
                State::HalfOpen { under_way: true } => return None,
                // Looked at and taken under one lock: of many that come now, one gets it.
                State::Open { .. } | State::HalfOpen { under_way: false } => {
                    *state = State::HalfOpen { under_way: true };
                    true
                }
            };
            Some(Attempt { breaker: Arc::clone(self), trial })
        }
    }

    impl Attempt {
        pub fn succeeded(mut self) {
            let mut state = self.breaker.state();
            // What began before it opened, and ends later, says nothing of how it is now.
            if self.trial || matches!(*state, State::Closed { .. }) {
                *state = State::Closed { failures: 0 };
            }
            drop(state);
            self.trial = false;
        }

        pub fn failed(mut self) {
            let mut state = self.breaker.state();
            let failures = match *state {
                _ if self.trial => self.breaker.most,
                State::Closed { failures } => failures + 1,
                State::Open { .. } | State::HalfOpen { .. } => return,
            };
            *state = match failures < self.breaker.most {
                true => State::Closed { failures },
                false => State::Open { since: Instant::now() },
            };
            drop(state);
            self.trial = false;
        }
    }

    impl Drop for Attempt {
        /// A trial that came to nothing makes room for another.
        fn drop(&mut self) {
            if self.trial {
                *self.breaker.state() = State::HalfOpen { under_way: false };
            }
        }
    }
}

/// A wait knows nothing of requests and backends: it ends a connection, unless somebody says in
/// time that it need not.
mod wait {
    use std::io;
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::{BorrowedFd, RawFd};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use tokio::task::JoinHandle;

    /// Somebody waits for something to come over a connection.
    pub struct Wait {
        state: Arc<Mutex<State>>,
        timer: JoinHandle<()>,
    }

    struct State {
        until: Instant,
        /// Taken by whoever ends the wait: the one who waits, or the timer.
        connection: Option<TcpStream>,
    }

    impl Wait {
        /// Shuts the connection down at this time. It must be open now.
        pub fn begin(connection: RawFd, until: Instant) -> io::Result<Self> {
            // A second handle of the same connection: its number can't become another
            // connection's as long as it is ours.
            // SAFETY: the caller has the connection open.
            let connection = unsafe { BorrowedFd::borrow_raw(connection) }.try_clone_to_owned()?;
            let connection = Some(TcpStream::from(connection));
            let state = Arc::new(Mutex::new(State { until, connection }));
            let timer = tokio::spawn(end_in_time(Arc::clone(&state)));
            Ok(Self { state, timer })
        }

        /// Waits until then.
        pub fn extend(&self, until: Instant) {
            locked(&self.state).until = until;
        }

        /// What was waited for has come, or won't. Whether the connection was shut down.
        pub fn end(self) -> bool {
            locked(&self.state).connection.take().is_none()
        }
    }

    impl Drop for Wait {
        fn drop(&mut self) {
            self.timer.abort();
        }
    }

    async fn end_in_time(state: Arc<Mutex<State>>) {
        loop {
            let until = locked(&state).until;
            tokio::time::sleep_until(until.into()).await;
            let mut state = locked(&state);
            if state.until > Instant::now() {
                continue;
            }
            // Under the lock: once the wait has ended otherwise, nothing is shut down.
            if let Some(connection) = state.connection.take() {
                // If it fails, the connection is over already.
                let _ = connection.shutdown(Shutdown::Both);
            }
            return;
        }
    }

    fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn new(config: &PoolConfig, backing: Arc<Backing>) -> Self {
        let breaker = |rules: &CircuitBreakerConfig| {
            Arc::new(Breaker::new(rules.consecutive_failures.get(), rules.open_for))
        };
        let rules = config.circuit_breaker.as_ref();
        let addresses = config.backend.get_ref().iter().map(|backend| backend.address.to_string());
        Self {
            backing,
            key: config.key().map(str::to_owned),
            breakers: rules.map_or(HashMap::new(), |rules| {
                addresses.map(|address| (address, breaker(rules))).collect()
            }),
            statuses: rules.map_or(Vec::new(), |rules| rules.statuses.clone()),
            timeouts: config.timeouts,
        }
    }

    /// The backend whose turn it is, and what its breaker is to hear of it.
    fn choose(&self, session: &Session, failed: &[String]) -> Option<(Backend, Option<Attempt>)> {
        let attempt = RefCell::new(None);
        let backend = self.backing.select_with(&self.key(session), 256, |backend, healthy| {
            let address = backend.addr.to_string();
            if !healthy || failed.contains(&address) {
                return false;
            }
            let Some(breaker) = self.breakers.get(&address) else { return true };
            // Asked last: who is let through here is the one that is chosen.
            *attempt.borrow_mut() = breaker.attempt();
            attempt.borrow().is_some()
        })?;
        Some((backend, attempt.into_inner()))
    }

    /// What requests that belong together have in common: the value of the field, or the
    /// client's address where there is none. A pool that takes turns asks for nothing.
    fn key<'a>(&self, session: &'a Session) -> Cow<'a, [u8]> {
        let Some(field) = &self.key else { return Cow::Borrowed(b"") };
        match session.req_header().headers.get(field) {
            Some(value) => Cow::Borrowed(value.as_bytes()),
            None => {
                let client = session.client_addr().and_then(|address| address.as_inet());
                Cow::Owned(client.map(ip).unwrap_or_default().into_bytes())
            }
        }
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

    /// Takes away what clients say of who they are, whatever the route: a backend cannot know who
    /// has written the field. One that reads `-` as `_`, as CGI does, takes either for it.
    fn strip(&self, request: &mut RequestHeader) {
        let is_meant = |name: &HeaderName| {
            let name = name.as_str().replace('_', "-");
            self.user_headers.iter().any(|field| *field.as_str().replace('_', "-") == *name)
        };
        let said: Vec<_> = request.headers.keys().filter(|name| is_meant(name)).cloned().collect();
        for name in &said {
            request.remove_header(name);
        }
    }

    /// Sends an answer of the proxy's own, with one field more if there is one.
    async fn answer(
        &self,
        session: &mut Session,
        status: u16,
        reason: &str,
        field: Option<(&'static str, String)>,
    ) -> Result<()> {
        let body = format!("{status}: {reason}\n");
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header("content-type", "text/plain; charset=utf-8")?;
        response.insert_header("content-length", body.len())?;
        if let Some((name, value)) = field {
            response.insert_header(name, value)?;
        }
        self.sign(&mut response)?;
        // Does nothing where a backend's answer has begun: a page in the middle of
        // it would make a broken answer look whole. The connection ends with it,
        // since the request may not be read whole.
        session.as_downstream_mut().write_error_response(response, Bytes::from(body)).await
    }
}

impl Config {
    /// What the file says, or what the environment does where there is none.
    fn load() -> Result<Self, String> {
        match std::env::var_os("LAB_CONFIG") {
            Some(path) => Self::from_file(Path::new(&path)),
            None => Self::from_environment(),
        }
    }

    /// Reads a file whole, before anything of it is used. The error is fit to be
    /// shown: file, line, and what is wrong there.
    fn from_file(path: &Path) -> Result<Self, String> {
        let file = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration {file}: {error}"))?;
        let config = toml::from_str::<Self>(&text)
            .map_err(|error| Misfit { what: error.message().to_owned(), place: error.span() });
        let checked = config.and_then(|mut config| {
            config.check()?;
            for (name, auth) in &config.auth {
                config.policies.insert(name.clone(), Arc::new(auth.load(name)?));
            }
            config.listener.iter_mut().filter_map(|one| one.tls.as_mut()).try_for_each(|tls| {
                tls.loaded = Some(Arc::new(Certificates::load(&tls.certificates)?));
                Ok(())
            })?;
            Ok(config)
        });
        checked.map_err(|misfit| match misfit.place {
            Some(place) => format!("{file}:{}: {}", line_of(&text, place.start), misfit.what),
            None => format!("{file}: {}", misfit.what),
        })
    }

    /// The variables of the stages before, as if they were a file.
    fn from_environment() -> Result<Self, String> {
        let interval = setting("LAB_HEALTH_INTERVAL_MS", "1000")
            .parse()
            .map(Duration::from_millis)
            .map_err(|error| format!("LAB_HEALTH_INTERVAL_MS: {error}"))?;
        let address = |name: &str, text: &str| {
            text.parse().map_err(|error| format!("{name}: \"{text}\": {error}"))
        };
        let pool = |name: &str, default: &str| -> Result<PoolConfig, String> {
            let list = setting(name, default);
            let backend = list.split(',').map(|one| {
                Ok(BackendConfig { address: address(name, one)?, weight: NonZeroU16::MIN })
            });
            Ok(PoolConfig {
                name: nowhere(name.to_owned()),
                balance: Balance::RoundRobin,
                hash_by: None,
                health_check: HealthCheckConfig { interval },
                timeouts: TimeoutsConfig::default(),
                circuit_breaker: None,
                backend: nowhere(backend.collect::<Result<_, String>>()?),
            })
        };
        let route = |host: Option<String>, prefix: Option<&str>, pool: &str| RouteConfig {
            hosts: host.into_iter().collect(),
            prefix: prefix.map(str::to_owned),
            rate_limit: Vec::new(),
            auth: None,
            pool: nowhere(pool.to_owned()),
        };
        let listen = setting("LAB_LISTEN", "127.0.0.1:6188");
        Ok(Self {
            listener: vec![ListenerConfig {
                address: address("LAB_LISTEN", &listen)?,
                redirect_to_https: None,
                tls: None,
            }],
            admin: None,
            rate_limit: BTreeMap::new(),
            auth: BTreeMap::new(),
            policies: BTreeMap::new(),
            pool: vec![
                pool("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192")?,
                pool("LAB_API_BACKENDS", "127.0.0.1:6190")?,
                pool("LAB_STATIC_BACKENDS", "127.0.0.1:6191")?,
                pool("LAB_ADMIN_BACKENDS", "127.0.0.1:6192")?,
            ],
            route: vec![
                route(Some(setting("LAB_ADMIN_HOST", "admin.test")), None, "LAB_ADMIN_BACKENDS"),
                route(None, Some("/api"), "LAB_API_BACKENDS"),
                route(None, Some("/static"), "LAB_STATIC_BACKENDS"),
                route(None, None, "LAB_BACKENDS"),
            ],
        })
    }

    /// What no value can know by itself.
    fn check(&self) -> Result<(), Misfit> {
        for (number, pool) in self.pool.iter().enumerate() {
            let name = pool.name.get_ref();
            if self.pool[..number].iter().any(|other| other.name.get_ref() == name) {
                return Err(misfit(&pool.name, format!("there are two pools \"{name}\"")));
            }
            if pool.backend.get_ref().is_empty() {
                return Err(misfit(&pool.backend, format!("the pool \"{name}\" has no backend")));
            }
            if pool.balance == Balance::ConsistentHash && pool.hash_by.is_none() {
                let what = format!("the pool \"{name}\" does not say what to hash_by");
                return Err(misfit(&pool.name, what));
            }
        }
        for route in &self.route {
            let name = route.pool.get_ref();
            if !self.pool.iter().any(|pool| pool.name.get_ref() == name) {
                let names: Vec<_> =
                    self.pool.iter().map(|pool| pool.name.get_ref().as_str()).collect();
                let names = names.join(", ");
                let what = format!("there is no pool \"{name}\"; there are {names}");
                return Err(misfit(&route.pool, what));
            }
            for limit in &route.rate_limit {
                let name = limit.get_ref();
                if !self.rate_limit.contains_key(name) {
                    return Err(misfit(limit, format!("there is no [rate_limit.{name}]")));
                }
            }
            if let Some(auth) = &route.auth
                && !self.auth.contains_key(auth.get_ref())
            {
                return Err(misfit(auth, format!("there is no [auth.{}]", auth.get_ref())));
            }
        }
        Ok(())
    }
}

impl Certificates {
    /// Reads the files, all of them. What is wrong with one is known before anybody could
    /// connect.
    fn load(pairs: &Spanned<Vec<CertificateConfig>>) -> Result<Self, Misfit> {
        pingora::tls::install_default_crypto_provider();
        let provider = CryptoProvider::get_default().expect("it was installed just now");
        let (mut by_name, mut first) = (HashMap::new(), None);
        for CertificateConfig { certificate, key } in pairs.get_ref() {
            let found = load_certs_and_key_files(certificate.get_ref(), key.get_ref());
            let (chain, private) = match found {
                Ok(Some(found)) => found,
                Ok(None) => {
                    return Err(misfit(certificate, "no certificate, or no key".to_owned()));
                }
                Err(error) => return Err(misfit(certificate, error.to_string())),
            };
            let names = names(&chain[0]).map_err(|what| misfit(certificate, what))?;
            // Sees that the two belong together.
            let pair = CertifiedKey::from_der(chain, private, provider)
                .map_err(|error| misfit(key, error.to_string()))?;
            let pair = Arc::new(pair);
            for name in names {
                by_name.entry(name).or_insert_with(|| Arc::clone(&pair));
            }
            first.get_or_insert(pair);
        }
        let none = || misfit(pairs, "there is no certificate".to_owned());
        Ok(Self { by_name, first: first.ok_or_else(none)? })
    }

    /// The one for this name: its own, or that of the domain just above it.
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            let (_, domain) = name.split_once('.')?;
            self.by_name.get(&format!("*.{domain}"))
        })
    }
}

impl ResolvesServerCert for Certificates {
    /// Asked in the middle of a handshake: the client has said whom it wants to talk to.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.of(name));
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}

impl PoolConfig {
    /// The field that has the key, where the pool goes by one.
    fn key(&self) -> Option<&str> {
        let by = self.hash_by.as_ref()?;
        (self.balance == Balance::ConsistentHash).then_some(&by.header)
    }
}

impl AuthConfig {
    /// The policy, with what is in its files.
    fn load(&self, name: &str) -> Result<Policy, Misfit> {
        let user_header = self.user_header.get_ref().parse().map_err(|_| {
            misfit(&self.user_header, "this is no name of a header field".to_owned())
        })?;
        let kind = match (&self.basic, &self.jwt) {
            (Some(basic), None) => Kind::Passwords(basic.load()?),
            (None, Some(jwt)) => Kind::Tokens(Box::new(jwt.load()?)),
            _ => {
                let what = format!("[auth.{name}] needs one of basic and jwt");
                return Err(Misfit { what, place: None });
            }
        };
        Ok(Policy { user_header, kind })
    }
}

impl BasicConfig {
    fn load(&self) -> Result<Passwords, Misfit> {
        let wrong = |line| misfit(&self.file, format!("line {line} of it is not user:hash"));
        Passwords::parse(&read(&self.file)?).map_err(wrong)
    }
}

impl JwtConfig {
    fn load(&self) -> Result<Tokens, Misfit> {
        let algorithms = self.algorithms.get_ref();
        let wrong = |what: &str| Err(misfit(&self.algorithms, what.to_owned()));
        let all =
            |fits: fn(&Algorithm) -> bool| !algorithms.is_empty() && algorithms.iter().all(fits);
        let with_secret = |algorithm: &Algorithm| {
            matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
        };
        let key = match (&self.secret, &self.public_key) {
            (Some(secret), None) if all(with_secret) => {
                // As long as the hash (RFC 7518, section 3.2): a word would be guessed.
                if secret.get_ref().len() < 32 {
                    return Err(misfit(secret, "a secret has 32 bytes at least".to_owned()));
                }
                DecodingKey::from_secret(secret.get_ref().as_bytes())
            }
            (None, Some(file)) if all(|algorithm| *algorithm == Algorithm::ES256) => {
                DecodingKey::from_ec_pem(read(file)?.as_bytes())
                    .map_err(|error| misfit(file, format!("no public key: {error}")))?
            }
            (Some(_), None) => return wrong("with a secret: HS256, HS384 or HS512"),
            (None, Some(_)) => return wrong("with a public_key: ES256"),
            _ => return wrong("these need one of secret and public_key"),
        };
        Ok(Tokens::new(key, algorithms, &self.issuer, &self.audience, self.leeway))
    }
}

impl Default for HealthCheckConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self { read: Duration::from_secs(30), total: Duration::from_secs(60) }
    }
}

impl Routes {
    /// The routes of a configuration that was checked, with these pools, which are in
    /// its order. First those with hosts, then those with the longer prefix: where
    /// they stand in the file does not matter.
    fn new(config: &Config, pools: &[Arc<Pool>]) -> Self {
        let pool_of = |name: &str| {
            let place = config.pool.iter().position(|pool| pool.name.get_ref() == name);
            Arc::clone(&pools[place.expect("the configuration was checked")])
        };
        // Routes that name the same limit have the same buckets.
        let limits: BTreeMap<_, _> = config
            .rate_limit
            .iter()
            .map(|(name, config)| (name.as_str(), Arc::new(Limit::new(config))))
            .collect();
        let limit_of = |name: &Spanned<String>| {
            Arc::clone(limits.get(name.get_ref().as_str()).expect("the configuration was checked"))
        };
        let policy_of = |name: &Spanned<String>| {
            Arc::clone(config.policies.get(name.get_ref()).expect("the configuration was checked"))
        };
        let route = |route: &RouteConfig| {
            Arc::new(Route {
                hosts: route.hosts.clone(),
                prefix: segments(route.prefix.as_deref().unwrap_or_default()),
                limits: route.rate_limit.iter().map(limit_of).collect(),
                policy: route.auth.as_ref().map(policy_of),
                pool: pool_of(route.pool.get_ref()),
            })
        };
        let mut routes: Vec<_> = config.route.iter().map(route).collect();
        routes.sort_by_key(|route| (route.hosts.is_empty(), usize::MAX - route.prefix.len()));
        Self(routes)
    }

    /// The route for a request, if there is one. Only this decision looks at the path
    /// as it is meant; the request itself goes on as it was sent.
    fn find(&self, request: &RequestHeader) -> Option<&Arc<Route>> {
        let (host, path) = (host(request).unwrap_or_default(), segments(request.uri.path()));
        let fits = |route: &&Arc<Route>| {
            (route.hosts.is_empty() || route.hosts.iter().any(|one| one.eq_ignore_ascii_case(host)))
                && path.starts_with(&route.prefix)
        };
        self.0.iter().find(fits)
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

/// The same target over TLS, at this port.
fn over_tls(request: &RequestHeader, port: NonZeroU16) -> Option<String> {
    let (host, target) = (host(request)?, request.uri.path_and_query()?);
    // 443 is what `https` means without a port.
    let port = if port.get() == 443 { String::new() } else { format!(":{port}") };
    Some(format!("https://{host}{port}{target}"))
}

/// The DNS names that a certificate is for, in small letters.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, certificate) =
        parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Ok(dns.collect())
}

/// The segments of a path as its reader will understand them: decoded, once, and with
/// dot segments resolved (RFC 3986, section 5.2.4).
fn segments(path: &str) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    for segment in path.split('/').skip(1).map(decoded) {
        match segment.as_slice() {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
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
        (_, HTTPStatus(504)) => (504, "the backend took too long"),
        (_, HTTPStatus(status)) => (*status, "the proxy refused this request"),
        (ErrorSource::Upstream, _) => (502, "the backend failed before it had answered"),
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed) => (0, "client gone"),
        (ErrorSource::Downstream, _) => (400, "the request could not be read"),
        _ => (500, "the proxy failed"),
    }
}

/// The error of a request whose time is over.
fn too_late() -> Box<Error> {
    Error::explain(HTTPStatus(504), "the backend took too long").into_up()
}

/// What a status begins with. There are a thousand of them, and six of these.
fn class(status: u16) -> &'static str {
    const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    CLASSES.get(usize::from(status / 100)).copied().unwrap_or("none")
}

/// An address without its port.
fn ip(address: &SocketAddr) -> String {
    address.ip().to_string()
}

/// A setting from the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The line, from 1, in which a byte of a text lies.
fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at.min(text.len())].matches('\n').count()
}

/// That something is wrong with a value.
fn misfit<T>(value: &Spanned<T>, what: String) -> Misfit {
    Misfit { what, place: Some(value.span()) }
}

/// A value that stands in no file.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// The weight where the file does not say.
fn one() -> NonZeroU16 {
    NonZeroU16::MIN
}

/// How many failures in a row where the file does not say.
fn five() -> NonZeroU32 {
    const { NonZeroU32::new(5).unwrap() }
}

/// How long it is open where the file does not say.
fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// By which field backends are told of the user where the file does not say.
fn user_header() -> Spanned<String> {
    nowhere("x-auth-user".to_owned())
}

/// By how much clocks may differ where the file does not say.
fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

/// What is in a file that the configuration names.
fn read(path: &Spanned<PathBuf>) -> Result<String, Misfit> {
    let file = path.get_ref().display();
    std::fs::read_to_string(path.get_ref())
        .map_err(|error| misfit(path, format!("cannot read {file}: {error}")))
}

/// How many clients are remembered where the file does not say.
fn many() -> NonZeroUsize {
    NonZeroUsize::new(100_000).expect("it is not 0")
}

/// A length of time as it is written: `500ms` or `2s`.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = |digits: Option<&str>| digits?.parse().ok().filter(|number| *number > 0);
    let milliseconds = number(text.strip_suffix("ms")).map(Duration::from_millis);
    let time = milliseconds.or_else(|| number(text.strip_suffix('s')).map(Duration::from_secs));
    time.ok_or_else(|| de::Error::custom(format!("\"{text}\" is no time: write 500ms or 2s")))
}

/// A pool with its health checks.
fn backing(config: &PoolConfig) -> GenBackgroundService<Backing> {
    let backend = |backend: &BackendConfig| {
        Backend::new_with_weight(&backend.address.to_string(), backend.weight.get().into())
            .expect("an address need not be resolved")
    };
    let backends = config.backend.get_ref().iter().map(backend).collect();
    // It has none of them before its service has run for the first time, and the proxy
    // begins after that.
    let backends = Backends::new(Static::new(backends));
    let mut backing: Backing =
        LoadBalancer::from_backends_with_config(backends, Some(config.balance));
    backing.set_health_check(TcpHealthCheck::new());
    backing.health_check_frequency = Some(config.health_check.interval);
    backing.parallel_health_check = true;
    background_service(&format!("health checks of {}", config.name.get_ref()), backing)
}

/// TLS 1.2 and 1.3 with these certificates, and HTTP/2 for whoever can speak it.
fn tls_settings(certificates: Arc<Certificates>) -> TlsSettings {
    let mut settings = TlsSettings::intermediate("", "").expect("no file is read here");
    settings.set_cert_resolver(certificates);
    settings.enable_h2();
    settings
}

fn main() {
    // Whatever can be wrong is known before a socket is opened.
    let config = Config::load().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1)
    });

    // The fields of an event beside each other, and not in an object of their own.
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).init();

    let backing: Vec<_> = config.pool.iter().map(backing).collect();
    let pool = |(config, backing): (_, &GenBackgroundService<_>)| {
        Arc::new(Pool::new(config, backing.task()))
    };
    let pools: Vec<_> = config.pool.iter().zip(&backing).map(pool).collect();
    let routes = Arc::new(Routes::new(&config, &pools));
    let name = setting("LAB_PROXY_NAME", "pingora-lab");
    let user_headers: Vec<_> =
        config.policies.values().map(|policy| policy.user_header.clone()).collect();

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let lab = LabProxy { routes, name, ids: Arc::new(Ids::new()), user_headers, redirect: None };
    let health: Vec<_> = backing.into_iter().map(|one| server.add_service(one)).collect();
    // One service for all that is sent on, since the connections to backends are its.
    let mut proxy = http_proxy_service(&server.configuration, lab.clone());
    for listener in &config.listener {
        let address = listener.address.to_string();
        let certificates = listener.tls.as_ref().and_then(|tls| tls.loaded.clone());
        match (certificates, listener.redirect_to_https) {
            (Some(certificates), _) => {
                proxy.add_tls_with_settings(&address, None, tls_settings(certificates));
            }
            (None, None) => proxy.add_tcp(&address),
            (None, redirect) => {
                let away = LabProxy { redirect, ..lab.clone() };
                let mut away = http_proxy_service(&server.configuration, away);
                away.add_tcp(&address);
                server.add_service(away).add_dependencies(&health);
            }
        }
    }
    if let Some(admin) = &config.admin {
        let mut metrics = pingora_prometheus::prometheus_http_service();
        metrics.add_tcp(&admin.address.to_string());
        server.add_service(metrics);
    }
    server.add_service(proxy).add_dependencies(&health);
    server.run_forever();
}
