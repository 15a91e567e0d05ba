//! Which addresses take connections, and answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use tracing::{info, warn};

use super::Pool;
use super::endpoint::Identity;
use crate::config::{self, CheckKind};

/// Pingora's TCP or HTTP check, which also says why it failed and tells the pool
/// at once when an address leaves or returns.
pub(super) struct Check {
    check: Box<dyn HealthCheck + Send + Sync>,
    identity: Arc<Identity>,
    /// The backend's place in the pool.
    member: usize,
    /// Set once the pool that the check belongs to exists.
    pool: Weak<Pool>,
    errors: Arc<CheckErrors>,
}

/// What the last checks of a backend's addresses have failed with.
pub(super) type CheckErrors = Mutex<HashMap<SocketAddr, String>>;

impl Check {
    pub(super) fn new(
        config: &config::HealthCheck,
        template: &HttpPeer,
        identity: Arc<Identity>,
        member: usize,
        pool: Weak<Pool>,
        errors: Arc<CheckErrors>,
    ) -> Self {
        let check: Box<dyn HealthCheck + Send + Sync> = match config.kind {
            CheckKind::Tcp => Box::new(tcp(config)),
            CheckKind::Http => Box::new(http(config, template, &identity)),
        };
        Self { check, identity, member, pool, errors }
    }
}

fn tcp(config: &config::HealthCheck) -> TcpHealthCheck {
    let mut check = *TcpHealthCheck::new();
    check.consecutive_success = config.rise.get() as usize;
    check.consecutive_failure = config.fall.get() as usize;
    check.peer_template.options.connection_timeout = Some(config.timeout.get());
    check.peer_template.options.total_connection_timeout = Some(config.timeout.get());
    check
}

fn http(config: &config::HealthCheck, template: &HttpPeer, identity: &Identity) -> HttpHealthCheck {
    let own = identity.host.as_ref().and_then(|host| host.to_str().ok());
    let host = config.host.as_ref().map(|host| host.as_str()).or(own).unwrap_or(&identity.label);
    let mut check = HttpHealthCheck::new(host, false);
    check.consecutive_success = config.rise.get() as usize;
    check.consecutive_failure = config.fall.get() as usize;
    check.peer_template = template.clone();
    let options = &mut check.peer_template.options;
    options.connection_timeout = Some(config.timeout.get());
    options.total_connection_timeout = Some(config.timeout.get());
    options.read_timeout = Some(config.timeout.get());
    check.req.set_uri(config.path.as_str().parse().unwrap_or_else(|_| http::Uri::from_static("/")));
    let wanted: Vec<_> = config.status.iter().map(|status| status.0).collect();
    check.validator = Some(Box::new(move |answer| {
        if wanted.contains(&answer.status) {
            return Ok(());
        }
        Error::e_explain(ErrorType::Custom(STATUS), format!("answered {}", answer.status.as_u16()))
    }));
    check
}

/// The type of the error of an answer with another status.
const STATUS: &str = "HealthStatus";

#[async_trait]
impl HealthCheck for Check {
    async fn check(&self, target: &Backend) -> Result<()> {
        let result = self.check.check(target).await;
        let PeerAddr::Inet(address) = &target.addr else { return result };
        match (&result, self.pool.upgrade()) {
            (Ok(()), pool) => {
                self.errors.lock().remove(address);
                if let Some(pool) = pool {
                    pool.passed(self.member, *address);
                }
            }
            (Err(error), _) => {
                let said = match error.etype() {
                    ErrorType::Custom(STATUS) => {
                        error.context.as_ref().map_or_else(String::new, |c| c.as_str().to_owned())
                    }
                    _ => crate::proxy::retry::cause(error),
                };
                self.errors.lock().insert(*address, said);
            }
        }
        result
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        // First the deed, then the word: who reads the line can rely on it.
        if let (Some(pool), PeerAddr::Inet(address)) = (self.pool.upgrade(), &target.addr) {
            pool.health_changed(self.member, *address, healthy);
        }
        let backend = self.identity.label.as_str();
        let address = target.addr.to_string();
        if healthy {
            info!(target: "health", backend, address, "backend is healthy again");
        } else {
            let known = target.addr.as_inet().and_then(|at| self.errors.lock().get(at).cloned());
            let reason = known.unwrap_or_default();
            warn!(target: "health", backend, address, reason, "backend is unhealthy");
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.health_threshold(success)
    }
}
