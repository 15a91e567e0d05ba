//! What health, addresses, breakers and people say of backends, and how it becomes
//! what requests go by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::{info, warn};

use super::member::Member;
use super::rotation::{Candidate, Rotation};
use super::{BreakerState, Endpoint, Pool};
use crate::config;

/// The least share of its weight that a backend begins with when it has come
/// back.
const COLD: f64 = 0.1;

// === impl Pool ===

impl Pool {
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

    /// Makes what is known of health, addresses and breakers now what requests go
    /// by.
    pub(super) fn publish(&self) {
        let mut endpoints = self.endpoints.lock();
        let old = std::mem::take(&mut *endpoints);
        let now = Instant::now();
        // A share of those that the health checks have left is never all of them.
        let share = self.config.circuit_breaker.max_ejected.get();
        let mut spare = Vec::new();
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
                    if healthy && !member.drained.load(Ordering::Acquire) {
                        let breaker = endpoint.breaker();
                        if breaker != BreakerState::Closed && share < 1.0 {
                            spare.push(Arc::clone(&endpoint));
                        }
                        if breaker != BreakerState::Open {
                            usable.push(Arc::clone(&endpoint));
                        }
                    }
                    endpoints.push((index, endpoint));
                }
                let weight = self.weight_now(member, &usable, now);
                Candidate { endpoints: usable.into(), weight }
            })
            .collect();
        self.ejections.set_most((endpoints.len() as f64 * share).floor() as usize);
        // One that is gone is not ejected any more.
        let stays = |gone: &Arc<Endpoint>| endpoints.iter().any(|(_, e)| Arc::ptr_eq(e, gone));
        old.iter().filter(|(_, e)| !stays(e)).for_each(|(_, gone)| gone.breaker.retire());
        self.rotation.store(Arc::new(Rotation::new(self.config.balance, candidates, spare)));
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

    pub(super) fn passed(&self, member: usize, address: SocketAddr) {
        self.members[member].passed(address);
    }

    /// An address has left or returned.
    pub(super) fn health_changed(&self, member: usize, address: SocketAddr, healthy: bool) {
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

    pub(super) fn breaker_opened(&self, endpoint: &Endpoint) {
        self.publish();
        self.appointment.notify_one();
        if let Some(metrics) = &endpoint.identity.metrics {
            metrics.ejected();
        }
        warn!(target: "breaker", pool = self.config.name, backend = endpoint.identity.label,
            address = %endpoint.address, "requests fail, the circuit breaker is open");
    }

    pub(super) fn breaker_closed(&self, endpoint: &Endpoint) {
        self.publish();
        info!(target: "breaker", pool = self.config.name, backend = endpoint.identity.label,
            address = %endpoint.address, "requests succeed, the circuit breaker is closed");
    }
}
