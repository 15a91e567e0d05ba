//! What a person may write down: the settings of the load balancer, their
//! defaults, and errors that say what is wrong, where, and what to do.
//!
//! The same [`Config`] comes from a TOML file ([`Config::from_file`]) or from
//! the command line's flags, which change single fields of it. Every value that
//! can be checked alone is checked by its type while it is read, so that the
//! error knows its line; what concerns several values is checked by
//! [`Config::validate`].

mod address;
mod duration;
mod file;
mod header_rules;
mod secret;
mod size;
mod written;

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

pub use address::{BackendSpec, HostPort};
pub use duration::Span;
pub use file::ConfigError;
pub use header_rules::{Direction, HeaderRules, HeaderTemplate, Part, Request, Response, Variable};
pub use secret::Secret;
pub use size::Size;

/// Where the load balancer listens when nothing else is said.
pub const DEFAULT_LISTENER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6188);

/// All settings of one load balancer.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worker threads; as many as the machine has processors by default.
    pub threads: Threads,
    /// The sockets to accept clients on.
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    /// The groups of backends; this version takes exactly one.
    #[serde(rename = "pool")]
    pub pools: Vec<Pool>,
    /// Peers whose `x-forwarded-*` and `forwarded` fields are believed.
    pub trusted_proxies: Vec<Network>,
    /// Header fields that are set and removed on the way.
    pub headers: Headers,
    /// How long each part of an exchange with a backend may take.
    pub timeouts: Timeouts,
    /// What happens on SIGTERM.
    pub shutdown: Shutdown,
    /// The form of the log.
    pub log: Log,
}

/// A socket to accept clients on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; port 0 takes any free one.
    pub address: SocketAddr,
}

/// A group of backends that requests are balanced over.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// What the pool is called in logs.
    #[serde(default = "Pool::default_name")]
    pub name: String,
    /// The backends.
    #[serde(rename = "backend", default)]
    pub backends: Vec<Backend>,
    /// How the backends are checked.
    #[serde(default)]
    pub health_check: HealthCheck,
    /// How often the backends' names are resolved again.
    #[serde(default = "Pool::default_resolve_interval")]
    pub resolve_interval: Span,
}

/// One backend of a pool: a server, or several behind one DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The backend's own name: requests whose `Host` is this name go to this
    /// backend alone, and this name is sent to it as `Host`. Without one it has
    /// the DNS name of its address, if no other backend has that too; else it is
    /// known by its address and sees the client's `Host`.
    pub name: Option<BackendName>,
    /// Where it is. A DNS name is resolved at start-up and again at an interval.
    pub address: HostPort,
}

/// How the backends of a pool are checked: a TCP connection to each address.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// Time between two checks while all addresses are healthy.
    pub interval: Span,
    /// Time between two checks while one is not, if that is shorter.
    pub unhealthy_interval: Span,
    /// Time in which a connection must be there.
    pub timeout: Span,
}

/// Rules for header fields in both directions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    /// Applied to what is sent to the backend.
    pub request: HeaderRules<Request>,
    /// Applied to what is sent to the client, the proxy's own answers included.
    pub response: HeaderRules<Response>,
}

/// Time limits of an exchange with a backend; passing one is answered 504.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Span,
    /// Between two pieces of an answer, the first included.
    pub read: Span,
    /// To hand one piece of the request to the backend.
    pub write: Span,
    /// From the client's request to the first byte of the answer, over all tries.
    pub total: Span,
    /// How long an unused connection to a backend is kept.
    pub idle: Span,
}

/// What happens on SIGTERM.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long requests in flight may take to finish.
    pub drain: Span,
}

/// The form of the log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// A number of worker threads, from 1 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct Threads(usize);

/// A network in CIDR form; a bare address is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

/// A backend's name: what a `Host` field may hold, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BackendName(String);

/// A mistake that no single value shows; it names the values itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: Threads::of_machine(),
            listeners: vec![Listener { address: DEFAULT_LISTENER }],
            pools: Vec::new(),
            trusted_proxies: Vec::new(),
            headers: Headers::default(),
            timeouts: Timeouts::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Checks what concerns several values at once.
    ///
    /// # Errors
    ///
    /// The first mistake found, in words that name the values concerned.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.listeners.is_empty() {
            return Err(Invalid("no [[listener]]: add one with an address".to_owned()));
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let address = listener.address;
            if address.port() != 0 && self.listeners[..index].iter().any(|l| l.address == address) {
                return Err(Invalid(format!("two listeners on {address}: remove one")));
            }
        }
        let pool = match self.pools.as_slice() {
            [pool] => pool,
            [] => return Err(Invalid("no [[pool]]: add one with a [[pool.backend]]".to_owned())),
            [_, second, ..] => {
                return Err(Invalid(format!(
                    "a second [[pool]] (\"{}\"): nothing would be sent to it, keep one",
                    second.name
                )));
            }
        };
        if pool.backends.is_empty() {
            return Err(Invalid(format!(
                "pool \"{}\" has no [[pool.backend]]: add one with an address",
                pool.name
            )));
        }
        for (index, backend) in pool.backends.iter().enumerate() {
            let label = backend.label();
            if pool.backends[..index].iter().any(|other| other.label() == label) {
                return Err(Invalid(format!(
                    "two backends are called \"{label}\": give each a name of its own"
                )));
            }
        }
        Ok(())
    }
}

// === impl Pool ===

impl Pool {
    /// A pool with the default settings.
    pub fn new(backends: Vec<Backend>) -> Self {
        Self {
            name: Self::default_name(),
            backends,
            health_check: HealthCheck::default(),
            resolve_interval: Self::default_resolve_interval(),
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

// === impl HealthCheck ===

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            interval: Span::from_secs(30),
            unhealthy_interval: Span::from_secs(2),
            timeout: Span::from_secs(1),
        }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::from_secs(2),
            read: Span::from_secs(30),
            write: Span::from_secs(30),
            total: Span::from_secs(60),
            idle: Span::from_secs(60),
        }
    }
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: Span::from_secs(10) }
    }
}

// === impl Threads ===

impl Threads {
    /// As many as the machine has processors for this process.
    pub fn of_machine() -> Self {
        Self(std::thread::available_parallelism().map_or(1, usize::from).min(1024))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<usize> for Threads {
    type Error = Invalid;

    fn try_from(threads: usize) -> Result<Self, Invalid> {
        match threads {
            1..=1024 => Ok(Self(threads)),
            _ => Err(Invalid(format!("{threads} threads: use a number from 1 to 1024"))),
        }
    }
}

impl std::str::FromStr for Threads {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let threads: usize = text
            .parse()
            .map_err(|_| Invalid(format!("\"{text}\" is no number: use one from 1 to 1024")))?;
        threads.try_into()
    }
}

// === impl Network ===

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
