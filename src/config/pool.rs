//! Groups of backends: who is in them, how they are chosen and checked, and what
//! happens when they fail.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded::{Count, Share, Weight};
use super::written::written_as_string;
use super::{HostPort, Invalid, PoolTimeouts, ServerName, Span, UpstreamTls};

/// A group of backends that requests are balanced over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// What the pool is called in routes, logs and metrics.
    #[serde(default = "Pool::default_name")]
    pub name: String,
    /// How a backend is chosen for a request.
    #[serde(default)]
    pub balance: Balance,
    /// With `balance = "consistent_hash"`: what requests that belong together have
    /// in common.
    #[serde(default)]
    pub hash_by: HashBy,
    /// How many requests one address of a backend is sent at a time; no limit
    /// by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<Count>,
    /// Who may wait while every backend has as many requests as it may have.
    #[serde(default)]
    pub queue: Queue,
    /// How long a backend that has come back takes to get its full share of
    /// requests; at once by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Span>,
    /// How often the backends' names are resolved again.
    #[serde(default = "Pool::default_resolve_interval")]
    pub resolve_interval: Span,
    /// How the backends are checked.
    #[serde(default)]
    pub health_check: HealthCheck,
    /// When an address that fails requests is left alone for a while.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// When a request is tried again elsewhere.
    #[serde(default)]
    pub retries: Retries,
    /// Time limits that differ from those of `[timeouts]`.
    #[serde(default)]
    pub timeouts: PoolTimeouts,
    /// Whether HTTP/2 is spoken with the backends: over TLS with those that agree to it
    /// (ALPN), without TLS with all of them, which must speak it (prior knowledge).
    #[serde(default)]
    pub http2: bool,
    /// TLS with the backends; without it, connections are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// The backends.
    #[serde(rename = "backend", default)]
    pub backends: Vec<Backend>,
}

/// One backend of a pool: a server, or several behind one DNS name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The backend's own name: requests whose `Host` is this name go to this
    /// backend alone, and this name is sent to it as `Host`. Without one it has
    /// the DNS name of its address, if no other backend of the pool has that too;
    /// else it is known by its address and sees the client's `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<BackendName>,
    /// Where it is. A DNS name is resolved at start-up and again at an interval,
    /// and all of its addresses are used.
    pub address: HostPort,
    /// Its share of the requests, relative to the other backends' weights.
    #[serde(default)]
    pub weight: Weight,
}

/// A backend's name: what a `Host` field may hold, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BackendName(String);

written_as_string!(
    BackendName,
    "BackendName",
    "What a Host field may hold, without a port: letters, digits, '.', '-' and '_'",
    "shop"
);

/// How a backend is chosen for a request, out of those that are healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight; turns of a heavy backend are spread out evenly.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one with fewer requests in flight out of two that are drawn by weight.
    LeastRequests,
    /// Requests with the same key go to the same backend (Ketama); when one
    /// leaves, only its keys move.
    ConsistentHash,
}

/// What requests that belong together have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HashBy {
    /// The client's address.
    #[default]
    ClientAddress,
    /// The path, without the query.
    Path,
    /// The first field of this name; the client's address where there is none.
    Header(FieldName),
    /// The cookie of this name; the client's address where there is none.
    Cookie(String),
}

/// The name of a header field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FieldName(pub HeaderName);

written_as_string!(FieldName, "FieldName", "The name of a header field", "x-user");

/// Requests that wait for a backend to have room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// How many requests may wait; further ones are answered 503 at once.
    pub length: usize,
    /// How long one may wait before it is answered 503.
    pub timeout: Span,
}

/// How the backends of a pool are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// `tcp`: a connection; `http`: a GET that must be answered with `status`.
    pub kind: CheckKind,
    /// Time between two checks while all addresses are healthy.
    pub interval: Span,
    /// Time between two checks while one is not, if that is shorter.
    pub unhealthy_interval: Span,
    /// By how much each interval may be longer or shorter by chance, as a share of
    /// it, so that many load balancers do not check at the same moment.
    pub jitter: Share,
    /// Time in which a connection, and an answer, must be there.
    pub timeout: Span,
    /// Checks in a row that must succeed until an unhealthy address is healthy.
    pub rise: Count,
    /// Checks in a row that must fail until a healthy address is unhealthy.
    pub fall: Count,
    /// What an address is taken for until its first check: one that appears while
    /// requests are served. The first check at start-up is always waited for.
    pub initial: InitialState,
    /// With `kind = "http"`: what is asked for.
    pub path: CheckPath,
    /// With `kind = "http"`: the `Host` to send; the backend's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<BackendName>,
    /// With `kind = "http"`: the status codes that mean healthy.
    pub status: Vec<StatusCode>,
}

/// What a health check does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Opens a connection.
    #[default]
    Tcp,
    /// Sends a GET; over TLS where the pool speaks TLS.
    Http,
}

/// What an address is taken for before its first check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialState {
    /// It gets requests.
    Healthy,
    /// It gets none until it has passed.
    #[default]
    Unhealthy,
}

/// A path that a health check asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckPath(String);

written_as_string!(CheckPath, "CheckPath", "A path, beginning with /", "/healthz");

/// A status code of HTTP, from 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16", extend("minimum" = 200, "maximum" = 599))]
pub struct StatusCode(pub http::StatusCode);

/// When an address that fails requests is left alone for a while.
///
/// A failure is a connection that is not made or that breaks, an answer that does
/// not come in time, and an answer with one of `statuses`. An address whose
/// breaker is open gets no requests for `open_for`; then one request at a time is
/// let through (half-open), and its outcome closes or opens the breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Whether there is one.
    pub enabled: bool,
    /// Failures in a row that open it.
    pub consecutive_failures: Count,
    /// The share of failures in a `window` that opens it.
    pub failure_rate: Share,
    /// How many requests of a `window` there must be for `failure_rate` to count.
    pub minimum_requests: Count,
    /// The time over which `failure_rate` is taken.
    pub window: Span,
    /// How long it stays open.
    pub open_for: Span,
    /// The share of the pool's addresses that may be left alone by their breakers
    /// at a time, rounded down; further ones stay in use however they fail.
    pub max_ejected: Share,
    /// Status codes of answers that count as failures; none by default, since a
    /// backend that answers is alive.
    pub statuses: Vec<StatusCode>,
}

/// When a request is tried again elsewhere.
///
/// A request that no backend has been sent may always be tried again. One that
/// may have had an effect never is: only idempotent methods (RFC 9110, section
/// 9.2.2) whose body is at hand and whose answer has not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// How many addresses are tried for one request, the first included.
    pub attempts: Count,
    /// Retries of requests that may have reached a backend, as a share of all
    /// requests; above it, failures are answered instead of tried again.
    pub budget: Share,
    /// Such retries a second that are allowed however few requests there are.
    pub budget_floor: u32,
}

// === impl Pool ===

impl Pool {
    /// A pool with the default settings.
    pub fn new(backends: Vec<Backend>) -> Self {
        Self {
            name: Self::default_name(),
            balance: Balance::default(),
            hash_by: HashBy::default(),
            max_requests: None,
            queue: Queue::default(),
            slow_start: None,
            resolve_interval: Self::default_resolve_interval(),
            health_check: HealthCheck::default(),
            circuit_breaker: CircuitBreaker::default(),
            retries: Retries::default(),
            timeouts: PoolTimeouts::default(),
            http2: false,
            tls: None,
            backends,
        }
    }

    /// What a backend is asked for over TLS, and what its certificate must have: a DNS
    /// name, or the address where there is no name.
    pub fn server_name(&self, backend: &Backend) -> String {
        let own = self.tls.as_ref().and_then(|tls| tls.sni.as_ref()).map(ServerName::as_str);
        let own = own.or(backend.name.as_ref().map(BackendName::as_str));
        match (own.or(backend.address.name()), backend.address.ip()) {
            (None, Some(ip)) => ip.to_string(),
            (name, _) => name.unwrap_or_default().trim_end_matches('.').to_owned(),
        }
    }

    fn default_name() -> String {
        "default".to_owned()
    }

    fn default_resolve_interval() -> Span {
        Span::from_secs(30)
    }
}

// === impl Backend ===

impl Backend {
    /// A backend of weight 1.
    pub fn new(name: Option<BackendName>, address: HostPort) -> Self {
        Self { name, address, weight: Weight::default() }
    }

    /// What the backend is called in logs and in `x-served-by`: its name, or its
    /// address if it has none.
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.address.to_string(), |name| name.as_str().to_owned())
    }
}

// === impl BackendName ===

impl BackendName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BackendName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        let valid = name != "."
            && !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if !valid {
            return Err(Invalid(format!(
                "\"{name}\" is no backend name: use letters, digits, '.', '-' and '_'"
            )));
        }
        // A `Host` is looked up without its last dot.
        let name = name.strip_suffix('.').unwrap_or(&name);
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl std::fmt::Display for BackendName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl FieldName ===

impl TryFrom<String> for FieldName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        HeaderName::from_bytes(text.as_bytes())
            .map(Self)
            .map_err(|_| Invalid(format!("\"{text}\" is no header field name")))
    }
}

impl std::fmt::Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

// === impl CheckPath ===

impl CheckPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CheckPath {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let valid = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
        if !valid {
            return Err(Invalid(format!(
                "\"{text}\" is no path: begin with / and write spaces as %20"
            )));
        }
        Ok(Self(text))
    }
}

impl std::fmt::Display for CheckPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl StatusCode ===

impl TryFrom<u16> for StatusCode {
    type Error = Invalid;

    fn try_from(code: u16) -> Result<Self, Invalid> {
        http::StatusCode::from_u16(code)
            .ok()
            .filter(|_| (200..=599).contains(&code))
            .map(Self)
            .ok_or_else(|| Invalid(format!("{code} is no status code: use one from 200 to 599")))
    }
}

impl From<StatusCode> for u16 {
    fn from(code: StatusCode) -> Self {
        code.0.as_u16()
    }
}

// === impl HealthCheck ===

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::default(),
            interval: Span::from_secs(30),
            unhealthy_interval: Span::from_secs(2),
            jitter: Share::from_percent(5),
            timeout: Span::from_secs(1),
            rise: Count::new(1),
            fall: Count::new(1),
            initial: InitialState::default(),
            path: CheckPath("/".to_owned()),
            host: None,
            status: vec![StatusCode(http::StatusCode::OK)],
        }
    }
}

// === impl Queue ===

impl Default for Queue {
    fn default() -> Self {
        Self { length: 100, timeout: Span::from_secs(1) }
    }
}

// === impl CircuitBreaker ===

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: Count::new(5),
            failure_rate: Share::from_percent(50),
            minimum_requests: Count::new(20),
            window: Span::from_secs(10),
            open_for: Span::from_secs(10),
            max_ejected: Share::from_percent(50),
            statuses: Vec::new(),
        }
    }
}

// === impl Retries ===

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: Count::new(5), budget: Share::from_percent(20), budget_floor: 10 }
    }
}
