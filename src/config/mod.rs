//! What a person may write down: the settings of the load balancer, their
//! defaults, and errors that say what is wrong, where, and what to do.
//!
//! The same [`Config`] comes from a TOML file ([`Config::from_file`]) or from
//! the command line's flags, which change single fields of it. Every value that
//! can be checked alone is checked by its type while it is read, so that the
//! error knows its line; what concerns several values is checked by
//! [`Config::validate`], and [`Source::locate`] finds its line.
//!
//! The doc comments of the fields are documentation for users: they are the
//! descriptions of the JSON Schema ([`Config::schema`]).
//!
//! | file | what it holds |
//! | --- | --- |
//! | `listener`, `tls`, `limits` | where clients are accepted, and what they may take |
//! | `route`, `header_rules`, `compress` | what is done with their requests |
//! | `policy`, `access`, `cors`, `rate_limit`, `auth` | what is asked of a request first |
//! | `pool`, `address`, `timeouts` | the backends |
//! | `trace`, `access_log`, `admin`, `upgrade` | what whoever runs it sees and does |
//! | `bounded`, `duration`, `size`, `secret`, `written` | single values, and how they are written |
//! | `file`, `validate` | how a file is read, and what is wrong with it |

mod access;
mod access_log;
mod address;
mod admin;
mod auth;
mod bounded;
mod compress;
mod cors;
mod duration;
mod file;
mod header_rules;
mod limits;
mod listener;
mod policy;
mod pool;
mod rate_limit;
mod route;
mod secret;
mod size;
mod timeouts;
mod tls;
mod trace;
mod upgrade;
mod validate;
mod written;

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::Access;
pub use access_log::{AccessLog, LogTarget};
pub use address::{BackendSpec, HostPort};
pub use admin::{Admin, AdminHost, Metrics};
pub use auth::{
    ApiKeyAuth, Auth, BasicAuth, CookieName, IdentityField, JwtAlgorithm, JwtAuth, Leeway, Realm,
};
pub use bounded::{Count, Share, Threads, Weight};
pub use compress::{BrotliLevel, Coding, Compress, GzipLevel, MediaRange, ZstdLevel};
pub use cors::{Cors, OriginPattern};
pub use duration::Span;
pub use file::{ConfigError, Source};
pub use header_rules::{
    Direction, HeaderRules, HeaderTemplate, MoreRules, Part, Request, Response, Variable,
};
pub use limits::{Limits, Rate};
pub use listener::{DEFAULT_LISTENER, Listener};
pub use policy::PolicyName;
pub use pool::{
    Backend, BackendName, Balance, CheckKind, CheckPath, CircuitBreaker, FieldName, HashBy,
    HealthCheck, InitialState, Pool, Queue, Retries, StatusCode,
};
pub use rate_limit::{LimitBy, LimitFields, RateLimit};
pub use route::{
    FieldValues, FixedAnswer, HostPattern, MethodName, Redirect, RedirectStatus, Route, RoutePath,
    Scheme,
};
pub use secret::Secret;
pub use size::Size;
pub use timeouts::{PoolTimeouts, Timeouts};
pub use tls::{
    CertificateFiles, ClientCertificates, Hsts, ListenerTls, MaxAge, NamedFile, ServerName,
    UpstreamTls,
};
pub use trace::Trace;
pub use upgrade::Upgrade;
pub use validate::{Misfit, Step};

use written::written_as_string;

/// All settings of one load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Configuration of pingora-lab serve")]
pub struct Config {
    /// Worker threads; as many as the machine has processors by default.
    pub threads: Threads,
    /// Networks of peers whose `x-forwarded-*` and `forwarded` fields are believed.
    pub trusted_proxies: Vec<Network>,
    /// The sockets to accept clients on.
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    /// The groups of backends.
    #[serde(rename = "pool")]
    pub pools: Vec<Pool>,
    /// Which requests go where. Without any, all requests go to the one pool.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Which clients may come, by their addresses; routes name them in `access`.
    pub access: BTreeMap<PolicyName, Access>,
    /// How many requests go through; routes name them in `rate_limit`.
    pub rate_limit: BTreeMap<PolicyName, RateLimit>,
    /// Which pages of other origins may read answers; routes name one in `cors`.
    pub cors: BTreeMap<PolicyName, Cors>,
    /// Who may, and how clients show who they are; routes name one in `auth`.
    pub auth: BTreeMap<PolicyName, Auth>,
    /// Header fields that are set and removed on the way.
    pub headers: Headers,
    /// How long each part of an exchange with a backend may take.
    pub timeouts: Timeouts,
    /// What one client may take: time, bytes, connections.
    pub limits: Limits,
    /// What happens on SIGTERM.
    pub shutdown: Shutdown,
    /// Distributed traces.
    pub trace: Trace,
    /// How a new process takes over from a running one.
    pub upgrade: Upgrade,
    /// The form of the log.
    pub log: Log,
    /// How the load balancer is looked after while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// What is counted of requests.
    pub metrics: Metrics,
    /// One line for each request.
    pub access_log: AccessLog,
}

/// Rules for header fields in both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    /// Applied to what is sent to the backend.
    pub request: HeaderRules<Request>,
    /// Applied to what is sent to the client, the proxy's own answers included.
    pub response: HeaderRules<Response>,
}

/// Rules of one route, on top of those for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteHeaders {
    /// Applied to what is sent to the backend.
    pub request: MoreRules<Request>,
    /// Applied to what is sent to the client, the proxy's own answers included.
    pub response: MoreRules<Response>,
}

/// What happens on SIGTERM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long requests in flight may take to finish.
    pub drain: Span,
}

/// The form of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
}

/// Text for people or JSON for programs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// A network in CIDR form; a bare address is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

written_as_string!(Network, "Network", "A network in CIDR form, or an address", "10.0.0.0/8");

/// Why a single value cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: Threads::of_machine(),
            trusted_proxies: Vec::new(),
            listeners: vec![Listener::new(DEFAULT_LISTENER)],
            pools: Vec::new(),
            routes: Vec::new(),
            access: BTreeMap::new(),
            rate_limit: BTreeMap::new(),
            cors: BTreeMap::new(),
            auth: BTreeMap::new(),
            headers: Headers::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            shutdown: Shutdown::default(),
            trace: Trace::default(),
            upgrade: Upgrade::default(),
            log: Log::default(),
            admin: None,
            metrics: Metrics::default(),
            access_log: AccessLog::default(),
        }
    }
}

impl Config {
    /// The JSON Schema (draft 2020-12) of a configuration file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The configuration as a file that means the same, with every default and
    /// with secrets masked.
    ///
    /// # Errors
    ///
    /// None that is known of; a value that TOML cannot hold would be one.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: Span::from_secs(10) }
    }
}

// === impl Network ===

impl Network {
    /// In the one form of each: nothing but its own bits, and IPv4 as such where it
    /// was written as mapped into IPv6.
    pub fn plain(self) -> IpNet {
        let network = self.0.trunc();
        let IpNet::V6(mapped) = network else { return network };
        let length = mapped.prefix_len().checked_sub(96);
        match (mapped.network().to_ipv4_mapped(), length) {
            (Some(address), Some(length)) => {
                Ipv4Net::new(address, length).map_or(network, IpNet::V4)
            }
            _ => network,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| {
                Invalid(format!("\"{text}\" is no network: use 10.0.0.0/8, fd00::/8 or an address"))
            })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
