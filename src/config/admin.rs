//! How whoever runs the load balancer reaches it while it runs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::written::written_as_string;
use super::{Invalid, Secret};

/// A listener of its own for metrics, state, reloads and the draining of backends.
/// There is none unless this table is written, or `--admin` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and port; port 0 takes any free one. An address that other machines
    /// can reach needs a `token`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// What clients must send as `Authorization: Bearer TOKEN`, but for `/healthz` and
    /// `/readyz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Names and addresses that clients may ask for in `Host`, beside `localhost`,
    /// loopback addresses and the address that they have connected to. Others are
    /// answered 421, so that no page in a browser gets here by a name of its own (DNS
    /// rebinding).
    pub hosts: Vec<AdminHost>,
}

/// A host name or an address, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AdminHost(String);

written_as_string!(
    AdminHost,
    "AdminHost",
    "A host name or an address, without a port",
    "lb1.internal"
);

/// What is counted of requests, for Prometheus; `/metrics` of the admin listener shows
/// it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether requests are counted. Without an admin listener, which alone could show
    /// it, nothing is.
    pub enabled: bool,
}

// === impl Admin ===

impl Default for Admin {
    fn default() -> Self {
        Self::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6189))
    }
}

impl Admin {
    /// On an address, with nothing else said.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, token: None, hosts: Vec::new() }
    }
}

// === impl AdminHost ===

impl AdminHost {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AdminHost {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.parse::<IpAddr>().is_ok() {
            return Ok(Self(name.to_ascii_lowercase()));
        }
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(Invalid(format!(
                "\"{name}\" is no host name: write one like lb1.internal, without a port"
            )));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for AdminHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true }
    }
}
