//! Which backend a request goes to, out of those that are healthy.
//!
//! Backends take turns, and so do the addresses of a backend that has several.
//! Turns are counted over the backends that are healthy now: with one of three
//! down the other two alternate, which Pingora's own round robin does not do
//! (it gives the turns of a dead backend to its neighbour).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::server::ShutdownWatch;
use pingora::services::ServiceReadyNotifier;
use pingora::services::background::BackgroundService;
use pingora_load_balancing::Backends;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::discovery::Resolver;
use super::endpoint::{Endpoint, Identity};
use super::health::TcpCheck;
use crate::config;

/// After a failed connection the backends are checked at once, but no more
/// often than this.
const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The backends that may answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any of the pool.
    Any,
    /// The backend that the request's `Host` names, by its place in the pool.
    Named(usize),
}

/// A group of backends that requests are balanced over.
///
/// Run as a [`BackgroundService`], it resolves the backends' names and checks
/// their health at an interval; it is ready after the first check of all.
pub struct Pool {
    name: String,
    members: Box<[Member]>,
    by_name: HashMap<Box<[u8]>, usize>,
    rotation: ArcSwap<Rotation>,
    turn: AtomicUsize,
    timeouts: config::Timeouts,
    check_interval: Duration,
    unhealthy_interval: Duration,
    resolve_interval: Duration,
    /// A request failed to connect: check now.
    suspicion: Notify,
    /// Only one publication at a time, so that an older one is never the last.
    publishing: Mutex<()>,
}

struct Member {
    identity: Arc<Identity>,
    /// As configured.
    address: config::HostPort,
    addresses: Backends,
    turn: AtomicUsize,
    /// Its name did not resolve the last time.
    lost: AtomicBool,
}

/// Who takes turns now. Made anew when health or addresses change.
struct Rotation {
    /// For each member, its healthy addresses.
    endpoints: Box<[Box<[Arc<Endpoint>]>]>,
    /// The members that have one.
    healthy: Box<[usize]>,
}

/// What is known of a backend now.
#[derive(Clone, Debug)]
pub struct BackendState {
    /// Its name, or its address if it has none.
    pub label: String,
    /// Its addresses, each with its health.
    pub addresses: Vec<(SocketAddr, bool)>,
}

/// Why a pool cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("backend \"{backend}\" ({address}) does not resolve: {reason}")]
pub struct Unresolved {
    /// The backend.
    pub backend: String,
    /// The address as configured.
    pub address: String,
    /// What the resolver said.
    pub reason: String,
}

// === impl Pool ===

impl Pool {
    /// A pool that knows no addresses yet.
    pub fn new(config: &config::Pool, timeouts: &config::Timeouts) -> Arc<Self> {
        Arc::new_cyclic(|pool| {
            let members: Box<[Member]> = config
                .backends
                .iter()
                .map(|backend| {
                    let identity = Arc::new(Identity::of(backend));
                    let resolver = Resolver::new(backend.address.clone());
                    let mut addresses = Backends::new(Box::new(resolver));
                    addresses.set_health_check(Box::new(TcpCheck::new(
                        Arc::clone(&identity),
                        config.health_check.timeout,
                        pool.clone(),
                    )));
                    Member {
                        identity,
                        address: backend.address.clone(),
                        addresses,
                        turn: AtomicUsize::new(0),
                        lost: AtomicBool::new(false),
                    }
                })
                .collect();
            let by_name = config
                .backends
                .iter()
                .enumerate()
                .filter_map(|(index, backend)| {
                    let name = backend.name.as_ref()?.as_str();
                    Some((name.as_bytes().into(), index))
                })
                .collect();
            Self {
                name: config.name.clone(),
                by_name,
                rotation: ArcSwap::from_pointee(Rotation {
                    endpoints: members.iter().map(|_| Box::default()).collect(),
                    healthy: Box::default(),
                }),
                members,
                turn: AtomicUsize::new(0),
                timeouts: timeouts.clone(),
                check_interval: config.health_check.interval.get(),
                unhealthy_interval: config.health_check.unhealthy_interval.get(),
                resolve_interval: config.resolve_interval.get(),
                suspicion: Notify::new(),
                publishing: Mutex::new(()),
            }
        })
    }

    /// Resolves all names, in parallel.
    ///
    /// # Errors
    ///
    /// The first backend, in the configuration's order, whose name does not
    /// resolve.
    pub async fn resolve(&self) -> Result<(), Unresolved> {
        let results = join_all(self.members.iter().map(|m| m.addresses.update(|_| {}))).await;
        let failed = self.members.iter().zip(results).find_map(|(m, r)| Some((m, r.err()?)));
        match failed {
            None => Ok(()),
            Some((member, error)) => Err(Unresolved {
                backend: member.identity.label.clone(),
                address: member.address.to_string(),
                reason: super::retry::cause(&error),
            }),
        }
    }

    /// The target that a `Host` without port, in lower case, names.
    pub fn named(&self, host: &[u8]) -> Option<Target> {
        self.by_name.get(host).map(|index| Target::Named(*index))
    }

    /// The next address of the next healthy backend of the target, leaving out
    /// what was tried. Backends are tried before further addresses of a backend.
    pub fn next(&self, target: Target, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        let rotation = self.rotation.load();
        match target {
            Target::Named(index) => self.next_of(&rotation, index, tried),
            Target::Any => {
                let healthy = &rotation.healthy;
                if healthy.is_empty() {
                    return None;
                }
                // A retry takes a turn too: so the turns of a backend that has
                // died unnoticed are spread over the others.
                let start = self.turn.fetch_add(1, Ordering::Relaxed) % healthy.len();
                let order = || healthy[start..].iter().chain(&healthy[..start]).copied();
                if tried.is_empty() {
                    return self.next_of(&rotation, healthy[start], tried);
                }
                let untouched = |index: &usize| {
                    !rotation.endpoints[*index].iter().any(|e| tried.contains(&e.address))
                };
                order()
                    .filter(untouched)
                    .chain(order().filter(|index| !untouched(index)))
                    .find_map(|index| self.next_of(&rotation, index, tried))
            }
        }
    }

    /// Whether [`Pool::next`] would find one.
    pub fn has_next(&self, target: Target, tried: &[SocketAddr]) -> bool {
        let rotation = self.rotation.load();
        let untried =
            |index: usize| rotation.endpoints[index].iter().any(|e| !tried.contains(&e.address));
        match target {
            Target::Named(index) => untried(index),
            Target::Any => rotation.healthy.iter().copied().any(untried),
        }
    }

    fn next_of(
        &self,
        rotation: &Rotation,
        index: usize,
        tried: &[SocketAddr],
    ) -> Option<Arc<Endpoint>> {
        let endpoints = &rotation.endpoints[index];
        let start = match endpoints.len() {
            0 => return None,
            1 => 0,
            several => self.members[index].turn.fetch_add(1, Ordering::Relaxed) % several,
        };
        endpoints[start..]
            .iter()
            .chain(&endpoints[..start])
            .find(|endpoint| !tried.contains(&endpoint.address))
            .cloned()
    }

    /// A request could not connect: the health that is known may be old.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// What is known of each backend now, in the configuration's order.
    pub fn state(&self) -> Vec<BackendState> {
        self.members
            .iter()
            .map(|member| BackendState {
                label: member.identity.label.clone(),
                addresses: member.endpoints().collect(),
            })
            .collect()
    }

    /// Makes what is known of health and addresses now what requests go by.
    pub(super) fn publish(&self) {
        let _one_at_a_time = self.publishing.lock();
        let old = self.rotation.load();
        let endpoints: Box<[Box<[Arc<Endpoint>]>]> = self
            .members
            .iter()
            .zip(&old.endpoints)
            .map(|(member, known)| {
                member
                    .endpoints()
                    .filter(|(_, healthy)| *healthy)
                    .map(|(address, _)| {
                        known.iter().find(|e| e.address == address).cloned().unwrap_or_else(|| {
                            let identity = Arc::clone(&member.identity);
                            Arc::new(Endpoint::new(identity, address, &self.timeouts))
                        })
                    })
                    .collect()
            })
            .collect();
        let healthy = (0..endpoints.len()).filter(|index| !endpoints[*index].is_empty()).collect();
        self.rotation.store(Arc::new(Rotation { endpoints, healthy }));
    }

    async fn check(&self) {
        join_all(self.members.iter().map(|m| m.addresses.run_health_check(true))).await;
        self.publish();
    }

    /// Resolves all names again. A name that does not resolve keeps the
    /// addresses it had; each change is one line of the log.
    async fn resolve_again(&self) {
        let updates = self.members.iter().map(|member| async move {
            let before = member.addresses.get_backend();
            let result = member.addresses.update(|_| {}).await;
            (member, before, result)
        });
        let updates = join_all(updates).await;
        self.publish();
        for (member, before, result) in updates {
            let backend = member.identity.label.as_str();
            let was_lost = member.lost.swap(result.is_err(), Ordering::Relaxed);
            let now = member.addresses.get_backend();
            match result {
                Err(error) if !was_lost => {
                    let reason = super::retry::cause(&error);
                    warn!(target: "discovery", pool = self.name, backend, reason,
                        "backend does not resolve, its last addresses are kept");
                }
                Ok(()) if was_lost || now != before => {
                    // A new address is taken to be healthy until it is checked.
                    self.suspect();
                    let addresses: Vec<_> = now.iter().map(|b| b.addr.to_string()).collect();
                    let addresses = addresses.join(" ");
                    let change = if now == before {
                        "backend resolves again"
                    } else {
                        "backend has new addresses"
                    };
                    info!(target: "discovery", pool = self.name, backend, addresses, "{change}");
                }
                _ => {}
            }
        }
    }

    async fn check_again_and_again(&self) {
        let mut last = Instant::now();
        let mut next = last + self.until_next_check();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    last = Instant::now();
                    self.check().await;
                    next = last + self.until_next_check();
                }
                () = self.suspicion.notified() => next = next.min(last + MIN_CHECK_INTERVAL),
            }
        }
    }

    /// One that is down is looked after more often, so that it is back soon.
    fn until_next_check(&self) -> Duration {
        let all_healthy = self.members.iter().all(|m| m.endpoints().all(|(_, healthy)| healthy));
        if all_healthy {
            self.check_interval
        } else {
            self.check_interval.min(self.unhealthy_interval)
        }
    }

    async fn resolve_again_and_again(&self) {
        loop {
            sleep(self.resolve_interval).await;
            self.resolve_again().await;
        }
    }
}

impl Member {
    fn endpoints(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let known = self.addresses.get_backend();
        let states: Vec<_> = known
            .iter()
            .filter_map(|backend| match backend.addr {
                PeerAddr::Inet(address) => Some((address, self.addresses.ready(backend))),
                PeerAddr::Unix(_) => None,
            })
            .collect();
        states.into_iter()
    }
}

#[async_trait]
impl BackgroundService for Pool {
    async fn start_with_ready_notifier(
        &self,
        mut shutdown: ShutdownWatch,
        ready: ServiceReadyNotifier,
    ) {
        let work = async {
            self.check().await;
            ready.notify_ready();
            tokio::join!(self.check_again_and_again(), self.resolve_again_and_again())
        };
        tokio::select! {
            _ = work => {}
            _ = shutdown.wait_for(|shutting_down| *shutting_down) => {}
        }
    }
}
