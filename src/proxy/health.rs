//! Which addresses take connections.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::Result;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck, TcpHealthCheck};
use tracing::{info, warn};

use super::endpoint::Identity;
use super::pool::Pool;
use crate::config::Span;

/// Pingora's TCP check, which also says why it failed and tells the pool at
/// once when an address leaves or returns.
pub(super) struct TcpCheck {
    check: Box<TcpHealthCheck>,
    identity: Arc<Identity>,
    /// Set once the pool that the check belongs to exists.
    pool: Weak<Pool>,
    last_error: Mutex<Option<String>>,
}

impl TcpCheck {
    pub(super) fn new(identity: Arc<Identity>, limit: Span, pool: Weak<Pool>) -> Self {
        let mut check = TcpHealthCheck::new();
        check.peer_template.options.connection_timeout = Some(limit.get());
        Self { check, identity, pool, last_error: Mutex::new(None) }
    }
}

#[async_trait]
impl HealthCheck for TcpCheck {
    async fn check(&self, target: &Backend) -> Result<()> {
        let result = self.check.check(target).await;
        if let Err(error) = &result {
            *self.last_error.lock() = Some(super::retry::cause(error));
        }
        result
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        // First the deed, then the word: who reads the line can rely on it.
        if let Some(pool) = self.pool.upgrade() {
            pool.publish();
        }
        let backend = self.identity.label.as_str();
        let address = target.addr.to_string();
        if healthy {
            info!(target: "health", backend, address, "backend is healthy again");
        } else {
            let reason = self.last_error.lock().take().unwrap_or_default();
            warn!(target: "health", backend, address, reason, "backend is unhealthy");
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.health_threshold(success)
    }
}
