//! What is known of a pool's backends, for whoever looks at it from outside.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::{BreakerState, Pool};

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

// === impl Pool ===

impl Pool {
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
}
