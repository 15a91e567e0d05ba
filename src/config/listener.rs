//! Where clients are accepted.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ListenerTls;

/// Where the load balancer listens when nothing else is said.
pub const DEFAULT_LISTENER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6188);

/// A socket to accept clients on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; port 0 takes any free one.
    #[schemars(with = "String", example = "0.0.0.0:80")]
    pub address: SocketAddr,
    /// Answers every request with a redirect (308) to `https` on this port,
    /// instead of routing it. Usually 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_to_https: Option<NonZeroU16>,
    /// Whether HTTP/2 is spoken with clients that can: over TLS by ALPN, without TLS
    /// with clients that begin with it (prior knowledge). `true` by default.
    #[serde(default = "Listener::default_http2")]
    pub http2: bool,
    /// TLS with clients; without it, the listener is plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

impl Listener {
    /// A plain listener.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, redirect_to_https: None, http2: Self::default_http2(), tls: None }
    }

    fn default_http2() -> bool {
        true
    }
}
