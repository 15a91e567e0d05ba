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
//! | `news` | what they say, and how it becomes what requests go by |
//! | `rotation`, `turns` | who takes requests now, and whose turn it is |
//! | `queue` | who waits while all have as much as they may have |
//! | `budget` | how often requests may be tried again |
//! | `entry`, `ticket` | how a request gets a place at an address, and what it is |
//! | `state` | what of all that is shown |
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
mod entry;
mod health;
mod member;
mod news;
mod peer;
mod queue;
mod rotation;
mod state;
mod ticket;
mod tls;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::metrics::Metrics;
use crate::config;

use breaker::Ejections;
use budget::Budget;
use member::Member;
use queue::Queue;
use rotation::{Candidate, Counters, Rotation};

pub use breaker::BreakerState;
pub use endpoint::{Endpoint, Identity};
pub use entry::{NoBackend, Target};
pub use state::{AddressState, BackendState};
pub use ticket::Ticket;
pub use tls::Tls;

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
                rotation: ArcSwap::from_pointee(Rotation::new(
                    config.balance,
                    nobody.collect(),
                    Vec::new(),
                )),
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

    /// What was configured.
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

    /// How many requests wait for a backend to have room.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// A request has left an address that had been full.
    fn room_made(&self) {
        self.queue.room_made();
    }
}
