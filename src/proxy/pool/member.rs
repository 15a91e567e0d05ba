//! One backend of a pool, as configured, with the addresses that it has now.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::upstreams::peer::HttpPeer;
use pingora_load_balancing::{Backend, Backends};

use super::Pool;
use super::discovery::Resolver;
use super::endpoint::Identity;
use super::health::{Check, CheckErrors};
use super::peer;
use super::tls::Tls;
use crate::config;
use crate::proxy::metrics::Metrics;

/// One backend of a pool.
pub(super) struct Member {
    pub(super) identity: Arc<Identity>,
    /// As configured.
    pub(super) address: config::HostPort,
    pub(super) weight: u16,
    /// How its addresses are connected to.
    pub(super) template: HttpPeer,
    pub(super) addresses: Backends,
    /// Its name did not resolve the last time.
    pub(super) lost: AtomicBool,
    /// It gets no new requests, since somebody said so.
    pub(super) drained: AtomicBool,
    /// What the last checks of addresses have failed with.
    pub(super) errors: Arc<CheckErrors>,
    /// The addresses that have passed a check, where one must pass before it is
    /// taken for healthy.
    passed: Option<Mutex<HashSet<SocketAddr>>>,
}

impl Member {
    pub(super) fn new(
        backend: &config::Backend,
        index: usize,
        pool: &config::Pool,
        tls: Option<&Tls>,
        owner: Weak<Pool>,
        metrics: &Metrics,
    ) -> Self {
        let identity = Arc::new(Identity::of(pool, index, tls.is_some(), metrics));
        let template = peer::template(backend, pool, tls);
        let mut addresses = Backends::new(Box::new(Resolver::new(backend.address.clone())));
        let errors = Arc::<CheckErrors>::default();
        addresses.set_health_check(Box::new(Check::new(
            &pool.health_check,
            &template,
            Arc::clone(&identity),
            index,
            owner,
            Arc::clone(&errors),
        )));
        let passed = match pool.health_check.initial {
            config::InitialState::Unhealthy => Some(Mutex::default()),
            config::InitialState::Healthy => None,
        };
        Self {
            identity,
            address: backend.address.clone(),
            weight: backend.weight.get(),
            template,
            addresses,
            lost: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            errors,
            passed,
        }
    }

    /// Its addresses, each with its health.
    pub(super) fn health(&self) -> Vec<(SocketAddr, bool)> {
        let passed = self.passed.as_ref().map(Mutex::lock);
        let healthy = |backend: &Backend, address: &SocketAddr| {
            self.addresses.ready(backend) && passed.as_ref().is_none_or(|p| p.contains(address))
        };
        self.addresses
            .get_backend()
            .iter()
            .filter_map(|backend| match backend.addr {
                PeerAddr::Inet(address) => Some((address, healthy(backend, &address))),
                PeerAddr::Unix(_) => None,
            })
            .collect()
    }

    /// An address has passed a check.
    pub(super) fn passed(&self, address: SocketAddr) {
        if let Some(passed) = &self.passed {
            passed.lock().insert(address);
        }
    }

    /// Takes over what is known of a backend of an earlier configuration.
    pub(super) fn inherit(&self, earlier: &Self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.drained.store(earlier.drained.load(Relaxed), Relaxed);
    }
}
