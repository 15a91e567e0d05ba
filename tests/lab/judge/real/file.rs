//! What the judge's configuration file says (`LAB_CONFIG`), for servers that read no TOML.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file, or what the variables of the stages before say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub listener: Vec<Listener>,
    #[serde(default)]
    pub rate_limit: BTreeMap<String, Limit>,
    #[serde(default)]
    pub auth: BTreeMap<String, Auth>,
    /// How the process ends, if the file says so.
    pub shutdown: Option<Shutdown>,
    /// Where processes meet: neither server has a place for that which the judge could name.
    #[serde(rename = "upgrade")]
    _upgrade: Option<toml::Value>,
    pub pool: Vec<Pool>,
    pub route: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long what is under way may take.
    pub drain: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub address: String,
    /// The port to which everybody is sent.
    pub redirect_to_https: Option<u16>,
    pub tls: Option<Tls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificates: Vec<Pair>,
}

/// The paths of a certificate and its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub requests: u32,
    burst: Option<u32>,
    pub clients: Option<u32>,
}

/// Who may, by passwords or by tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(default = "user_header")]
    pub user_header: String,
    pub basic: Option<Basic>,
    pub jwt: Option<Jwt>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    pub algorithms: Vec<String>,
    pub secret: Option<String>,
    pub public_key: Option<String>,
    pub issuer: Vec<String>,
    pub audience: Vec<String>,
    #[serde(default = "leeway")]
    leeway: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    #[serde(default)]
    balance: Balance,
    hash_by: Option<HashBy>,
    #[serde(default)]
    pub health_check: HealthCheck,
    #[serde(default)]
    pub timeouts: Timeouts,
    pub backend: Vec<Backend>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Balance {
    #[default]
    RoundRobin,
    ConsistentHash,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashBy {
    header: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    pub interval: String,
}

/// Time limits, none where the file does not say them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Between two pieces of an answer.
    pub read: Option<String>,
    /// For the head of an answer: neither server has a limit of its own for that.
    #[serde(rename = "total")]
    _total: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub address: String,
    pub weight: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// For these hosts alone; for all others if there are none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The beginning of the path, in whole segments; any path if there is none.
    pub prefix: Option<String>,
    #[serde(default)]
    pub rate_limit: Vec<String>,
    pub auth: Option<String>,
    pub pool: String,
}

// === impl File ===

impl File {
    /// What the program under test is told.
    ///
    /// # Panics
    ///
    /// The file says what none of these servers is made to do here.
    pub fn told() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("no {name}"));
        if let Ok(path) = std::env::var("LAB_CONFIG") {
            let text = std::fs::read_to_string(&path).expect("the file is there");
            return toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let backends = variable("LAB_BACKENDS");
        let backends =
            backends.split(',').map(|one| Backend { address: one.to_owned(), weight: None });
        Self {
            listener: vec![Listener {
                address: variable("LAB_LISTEN"),
                redirect_to_https: None,
                tls: None,
            }],
            rate_limit: BTreeMap::new(),
            auth: BTreeMap::new(),
            shutdown: None,
            _upgrade: None,
            pool: vec![Pool {
                name: "default".to_owned(),
                balance: Balance::RoundRobin,
                hash_by: None,
                health_check: HealthCheck::default(),
                timeouts: Timeouts::default(),
                backend: backends.collect(),
            }],
            route: vec![Route {
                hosts: Vec::new(),
                prefix: None,
                rate_limit: Vec::new(),
                auth: None,
                pool: "default".to_owned(),
            }],
        }
    }
}

impl Pool {
    /// The header field whose value decides on the backend, where one does.
    pub fn key(&self) -> Option<&str> {
        let by_key = self.balance == Balance::ConsistentHash;
        self.hash_by.as_ref().filter(|_| by_key).map(|by| by.header.as_str())
    }
}

impl Jwt {
    /// By how much clocks may differ, in seconds.
    pub fn leeway(&self) -> &str {
        self.leeway.trim_end_matches('s')
    }
}

impl Limit {
    /// How many at once.
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval: "1s".to_owned() }
    }
}

fn user_header() -> String {
    "x-auth-user".to_owned()
}

fn leeway() -> String {
    "30s".to_owned()
}
