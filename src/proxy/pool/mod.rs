//! Which backend a request goes to, out of those that are healthy.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `member` | a backend as configured, and the addresses that it has now |
//! | `peer`, `tls` | how the addresses of a backend are connected to |
//! | `endpoint` | one address, and what it has to do |
//! | `discovery` | which addresses a backend's name has now |
//! | `health` | which addresses take connections, and answer |
//! | `breaker` | which addresses fail requests |
//! | `rotation`, `turns` | who takes requests now, and whose turn it is |
//! | `queue` | who waits while all have as much as they may have |
//! | `budget` | how often requests may be tried again |
//! | `ticket` | a request's place at an address |
//! | `care` | the work that goes on beside the requests |
//!
//! Turns are counted over the backends that are healthy now: with one of three
//! down the other two alternate, which Pingora's own round robin does not do (it
//! gives the turns of a dead backend to its neighbour).

mod breaker;
mod budget;
mod care;
mod discovery;
mod endpoint;
mod health;
mod member;
mod peer;
mod queue;
mod rotation;
mod ticket;
mod tls;
mod turns;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::metrics::Metrics;
use crate::config;

use breaker::Ejections;
use budget::Budget;
use endpoint::Refusal;
use member::Member;
use queue::Queue;
use rotation::{Candidate, Counters, Found, Rotation};

pub use breaker::BreakerState;
pub use endpoint::{Endpoint, Identity};
pub use ticket::Ticket;
pub use tls::Tls;

/// The least share of its weight that a backend begins with when it has come
/// back.
const COLD: f64 = 0.1;

/// The backends that may answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any of the pool.
    Any,
    /// The backend that the request's `Host` names, by its place in the pool.
    Named(usize),
}

/// Why no backend takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBackend {
    /// None is healthy, or none that was not tried.
    NoneHealthy,
    /// All have as many requests as they may have, and nobody left in time.
    Overloaded,
}

/// A group of backends that requests are balanced over.
///
/// [`Pool::care`] resolves the backends' names, checks their health and moves
/// their breakers along.
pub struct Pool {
    config: config::Pool,
    /// What the files of its TLS held.
    tls: Option<Tls>,
    timeouts: config::Timeouts,
    members: Box<[Member]>,
    by_name: HashMap<Box<[u8]>, usize>,
    rotation: ArcSwap<Rotation>,
    counters: Counters,
    queue: Queue,
    budget: Budget,
    /// The addresses whose breakers are not closed.
    ejections: Arc<Ejections>,
    /// A request failed to connect: check now.
    suspicion: Notify,
    /// A breaker has opened, or a backend has come back: there is a time to wait
    /// for.
    appointment: Notify,
    /// Every address that is known, healthy or not. Locked while a rotation is
    /// made, so that an older one is never the last.
    endpoints: Mutex<Vec<(usize, Arc<Endpoint>)>>,
}

/// What is known of a backend now.
#[derive(Clone, Debug)]
pub struct BackendState {
    /// Its name, or its address if it has none.
    pub label: String,
    /// It gets no new requests, since somebody said so.
    pub drained: bool,
    /// Its name did not resolve the last time; its last addresses are kept.
    pub lost: bool,
    /// Its weight.
    pub weight: u16,
    /// Its addresses.
    pub addresses: Vec<AddressState>,
}

/// What is known of an address now.
#[derive(Clone, Debug)]
pub struct AddressState {
    /// The address.
    pub address: SocketAddr,
    /// It has passed its last checks.
    pub healthy: bool,
    /// Its breaker.
    pub breaker: BreakerState,
    /// How many requests it has.
    pub in_flight: u32,
    /// What its last check failed with, if it failed.
    pub last_error: Option<String>,
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
    /// A pool that knows no addresses yet; limits that it does not set itself are
    /// those of `all`. `tls` is what the files of its TLS hold.
    pub fn new(
        config: &config::Pool,
        all: &config::Timeouts,
        tls: Option<Tls>,
        metrics: &Metrics,
    ) -> Arc<Self> {
        Arc::new_cyclic(|pool| {
            let backends = config.backends.iter().enumerate();
            let members: Box<[Member]> = backends
                .clone()
                .map(|(index, backend)| {
                    Member::new(backend, index, config, tls.as_ref(), pool.clone(), metrics)
                })
                .collect();
            let by_name = backends
                .filter_map(|(index, backend)| {
                    let name = backend.name.as_ref()?.as_str();
                    Some((name.as_bytes().into(), index))
                })
                .collect();
            let nobody = members.iter().map(|_| Candidate { endpoints: Box::default(), weight: 0 });
            Self {
                timeouts: config.timeouts.over(all),
                by_name,
                rotation: ArcSwap::from_pointee(Rotation::new(config.balance, nobody.collect())),
                counters: Counters::new(members.len()),
                members,
                queue: Queue::new(&config.queue),
                budget: Budget::new(&config.retries, Instant::now()),
                ejections: Arc::default(),
                suspicion: Notify::new(),
                appointment: Notify::new(),
                endpoints: Mutex::default(),
                config: config.clone(),
                tls,
            }
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The limits of its exchanges.
    pub fn timeouts(&self) -> &config::Timeouts {
        &self.timeouts
    }

    /// How requests are spread.
    pub fn config(&self) -> &config::Pool {
        &self.config
    }

    /// Whether a pool of this configuration, with TLS of these files, would be this
    /// one.
    pub fn is_of(&self, config: &config::Pool, all: &config::Timeouts, tls: Option<&Tls>) -> bool {
        self.config == *config
            && self.timeouts == config.timeouts.over(all)
            && self.tls.as_ref() == tls
    }

    /// Takes over what somebody said of the backends of an earlier configuration.
    pub fn inherit(&self, earlier: &Self) {
        for member in &self.members {
            let label = &member.identity.label;
            if let Some(same) = earlier.members.iter().find(|m| m.identity.label == *label) {
                member.inherit(same);
            }
        }
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

    /// What its backends are called, in the configuration's order.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.identity.label.as_str())
    }

    /// The target that a `Host` without port, in lower case, names.
    pub fn named(&self, host: &[u8]) -> Option<Target> {
        self.by_name.get(host).map(|index| Target::Named(*index))
    }

    /// A request has come; retries are a share of them.
    pub fn count_request(&self) {
        self.budget.deposit();
    }

    /// A place for a request at the next address of the next healthy backend of
    /// the target, leaving out what was tried. `key` is what the consistent hash
    /// goes by. Waits where all are full, for as long as the queue allows and
    /// `left` lasts.
    ///
    /// # Errors
    ///
    /// See [`NoBackend`].
    pub async fn enter(
        self: &Arc<Self>,
        target: Target,
        key: &[u8],
        tried: &[SocketAddr],
        left: Duration,
    ) -> Result<Ticket, NoBackend> {
        // Who comes while others wait stands behind them.
        if self.queue.is_empty() {
            match self.take(target, key, tried) {
                Found::Taken(ticket) => return Ok(ticket),
                Found::Nobody => return Err(NoBackend::NoneHealthy),
                Found::Full => {}
            }
        }
        let mut nobody = false;
        let waited = self
            .queue
            .wait(left, || match self.take(target, key, tried) {
                Found::Taken(ticket) => Some(Some(ticket)),
                Found::Full => None,
                Found::Nobody => {
                    nobody = true;
                    Some(None)
                }
            })
            .await;
        match waited {
            Some(Some(ticket)) => Ok(ticket),
            Some(None) => Err(NoBackend::NoneHealthy),
            None => Err(NoBackend::Overloaded),
        }
    }

    fn take(self: &Arc<Self>, target: Target, key: &[u8], tried: &[SocketAddr]) -> Found<Ticket> {
        let rotation = self.rotation.load();
        let mut take = |endpoint: &Arc<Endpoint>| {
            let passage = endpoint.enter().inspect_err(|refusal| {
                if *refusal == Refusal::Overtaken {
                    self.room_made();
                }
            })?;
            Ok(Ticket::new(Arc::clone(self), Arc::clone(endpoint), passage))
        };
        match target {
            Target::Named(index) => rotation.one_of(index, &self.counters, tried, &mut take),
            Target::Any => rotation.any(key, &self.counters, tried, &mut take),
        }
    }

    /// Whether there is an address that was not tried, and another try is allowed.
    pub fn may_try_again(&self, target: Target, tried: &[SocketAddr]) -> bool {
        let member = match target {
            Target::Any => None,
            Target::Named(index) => Some(index),
        };
        tried.len() < self.config.retries.attempts.get() as usize
            && self.rotation.load().has_untried(member, tried)
    }

    /// Takes a retry of a request that may have reached a backend out of the
    /// budget, if there is one in it.
    pub fn withdraw_retry(&self) -> bool {
        self.budget.withdraw(Instant::now())
    }

    /// A request could not connect: the health that is known may be old.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Whether an answer of this status counts as a failure of the backend.
    pub fn is_failure(&self, status: http::StatusCode) -> bool {
        self.config.circuit_breaker.statuses.iter().any(|failure| failure.0 == status)
    }

    /// Gives a backend no new requests, or gives it requests again. Returns `false`
    /// if there is none of that name.
    pub fn set_drained(&self, label: &str, drained: bool) -> bool {
        let Some(member) = self.members.iter().find(|m| m.identity.label == label) else {
            return false;
        };
        if member.drained.swap(drained, Ordering::AcqRel) != drained {
            self.publish();
            let what = if drained { "backend is drained" } else { "backend is enabled" };
            info!(target: "pool", pool = self.config.name, backend = label, "{what}");
        }
        true
    }

    /// How many requests wait for a backend to have room.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What is known of each backend now, in the configuration's order.
    pub fn state(&self) -> Vec<BackendState> {
        let endpoints = self.endpoints.lock();
        let known = |index: usize, address: SocketAddr| {
            endpoints.iter().find(|(i, e)| *i == index && e.address == address).map(|(_, e)| e)
        };
        self.members
            .iter()
            .enumerate()
            .map(|(index, member)| BackendState {
                label: member.identity.label.clone(),
                drained: member.drained.load(Ordering::Acquire),
                lost: member.lost.load(Ordering::Relaxed),
                weight: member.weight,
                addresses: member
                    .health()
                    .into_iter()
                    .map(|(address, healthy)| {
                        let endpoint = known(index, address);
                        let last_error = member.errors.lock().get(&address).cloned();
                        AddressState {
                            address,
                            healthy,
                            breaker: endpoint.map_or(BreakerState::Closed, |e| e.breaker()),
                            in_flight: endpoint.map_or(0, |e| e.in_flight()),
                            last_error,
                        }
                    })
                    .collect(),
            })
            .collect()
    }

    /// Whether there is anybody now whom a request could go to.
    pub fn takes_requests(&self) -> bool {
        let takes = |at: &AddressState| at.healthy && at.breaker != BreakerState::Open;
        self.state().iter().any(|backend| !backend.drained && backend.addresses.iter().any(takes))
    }

    /// Makes what is known of health, addresses and breakers now what requests go
    /// by.
    fn publish(&self) {
        let mut endpoints = self.endpoints.lock();
        let old = std::mem::take(&mut *endpoints);
        let now = Instant::now();
        let candidates = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                let mut usable = Vec::new();
                for (address, healthy) in member.health() {
                    let known = old.iter().find(|(i, e)| *i == index && e.address == address);
                    let endpoint = known.map(|(_, endpoint)| Arc::clone(endpoint));
                    let endpoint = endpoint.unwrap_or_else(|| {
                        let identity = Arc::clone(&member.identity);
                        Arc::new(Endpoint::new(
                            identity,
                            address,
                            &member.template,
                            &self.config,
                            &self.timeouts,
                            &self.ejections,
                        ))
                    });
                    let open = endpoint.breaker() == BreakerState::Open;
                    if healthy && !open && !member.drained.load(Ordering::Acquire) {
                        usable.push(Arc::clone(&endpoint));
                    }
                    endpoints.push((index, endpoint));
                }
                let weight = self.weight_now(member, &usable, now);
                Candidate { endpoints: usable.into(), weight }
            })
            .collect();
        let share = self.config.circuit_breaker.max_ejected.get();
        self.ejections.set_most((endpoints.len() as f64 * share).floor() as usize);
        // One that is gone is not ejected any more.
        let stays = |gone: &Arc<Endpoint>| endpoints.iter().any(|(_, e)| Arc::ptr_eq(e, gone));
        old.iter().filter(|(_, e)| !stays(e)).for_each(|(_, gone)| gone.breaker.retire());
        self.rotation.store(Arc::new(Rotation::new(self.config.balance, candidates)));
        drop(endpoints);
        // Who waits may have somebody to go to now, or nobody any more.
        self.queue.room_made();
    }

    /// Ten times the weight, less while addresses are warming up.
    fn weight_now(&self, member: &Member, usable: &[Arc<Endpoint>], now: Instant) -> u64 {
        let full = u64::from(member.weight) * 10;
        let Some(slow_start) = self.config.slow_start.map(config::Span::get) else { return full };
        let mut warmth = 0.0;
        for endpoint in usable {
            let mut since = endpoint.warming_since.lock();
            let share = since.map_or(1.0, |since| {
                now.duration_since(since).as_secs_f64() / slow_start.as_secs_f64()
            });
            if share >= 1.0 {
                *since = None;
            }
            warmth += share.clamp(COLD, 1.0);
        }
        ((full as f64 * warmth / usable.len().max(1) as f64).round() as u64).max(1)
    }

    fn passed(&self, member: usize, address: SocketAddr) {
        self.members[member].passed(address);
    }

    /// An address has left or returned.
    fn health_changed(&self, member: usize, address: SocketAddr, healthy: bool) {
        let endpoint = {
            let endpoints = self.endpoints.lock();
            let known = endpoints.iter().find(|(i, e)| *i == member && e.address == address);
            known.map(|(_, endpoint)| Arc::clone(endpoint))
        };
        if let (Some(endpoint), true) = (endpoint, healthy) {
            // It is another server than the one that failed.
            endpoint.breaker.reset();
            if self.config.slow_start.is_some() {
                *endpoint.warming_since.lock() = Some(Instant::now());
                self.appointment.notify_one();
            }
        }
        self.publish();
    }

    fn breaker_opened(&self, endpoint: &Endpoint) {
        self.publish();
        self.appointment.notify_one();
        if let Some(metrics) = &endpoint.identity.metrics {
            metrics.ejected();
        }
        warn!(target: "breaker", pool = self.config.name, backend = endpoint.identity.label,
            address = %endpoint.address, "requests fail, the circuit breaker is open");
    }

    fn breaker_closed(&self, endpoint: &Endpoint) {
        self.publish();
        info!(target: "breaker", pool = self.config.name, backend = endpoint.identity.label,
            address = %endpoint.address, "requests succeed, the circuit breaker is closed");
    }

    /// A request has left an address that had been full.
    fn room_made(&self) {
        self.queue.room_made();
    }
}
