//! Which addresses a backend's name has now.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http::Extensions;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;
use tokio::time::timeout;

use crate::config::HostPort;

/// How long the system's resolver may take for one name.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Resolves one `HOST:PORT` with the system's resolver (hosts file included),
/// each time it is asked. An IP address is its own answer.
pub struct Resolver {
    address: HostPort,
}

impl Resolver {
    pub(super) fn new(address: HostPort) -> Self {
        Self { address }
    }

    /// All addresses of the name.
    async fn resolve(&self) -> std::io::Result<BTreeSet<SocketAddr>> {
        let port = self.address.port();
        let Some(name) = self.address.name() else {
            return Ok(self.address.ip().map(|ip| SocketAddr::new(ip, port)).into_iter().collect());
        };
        let addresses: BTreeSet<_> = timeout(RESOLVE_LIMIT, tokio::net::lookup_host((name, port)))
            .await
            .map_err(|_| {
                std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("no answer in {} s", RESOLVE_LIMIT.as_secs()),
                )
            })??
            .collect();
        if addresses.is_empty() {
            return Err(std::io::Error::other("the name has no address"));
        }
        Ok(addresses)
    }
}

#[async_trait]
impl ServiceDiscovery for Resolver {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let addresses = self.resolve().await.map_err(|error| {
            Error::because(ErrorType::ConnectError, format!("resolving {}", self.address), error)
        })?;
        let backends = addresses
            .into_iter()
            .map(|address| Backend {
                addr: PeerAddr::Inet(address),
                weight: 1,
                ext: Extensions::new(),
            })
            .collect();
        Ok((backends, HashMap::new()))
    }
}
