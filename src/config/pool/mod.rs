//! Groups of backends: who is in them, how they are chosen and checked, and what
//! happens when they fail.

mod balance;
mod failure;
mod health_check;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded::{Count, Weight};
use super::written::written_as_string;
use super::{HostPort, Invalid, PoolTimeouts, ServerName, Span, UpstreamTls};

pub use balance::{Balance, FieldName, HashBy, Queue};
pub use failure::{CircuitBreaker, Retries};
pub use health_check::{CheckKind, CheckPath, HealthCheck, InitialState};

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

/// A status code of HTTP, from 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16", extend("minimum" = 200, "maximum" = 599))]
pub struct StatusCode(pub http::StatusCode);

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
