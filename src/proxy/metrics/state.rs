//! What is not counted but looked at when somebody asks.

use super::family;
use super::page::Page;
use crate::proxy::pool::BreakerState;
use crate::proxy::snapshot::Snapshot;

const STATES: [BreakerState; 3] =
    [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open];

/// The pools and their backends as they are now.
pub(super) fn show(snapshot: &Snapshot, page: &mut Page) {
    for pool in snapshot.pools() {
        let name = pool.name();
        page.add(&family::QUEUE, &[name], pool.queued() as f64);
        for backend in pool.state() {
            let of = [name, &backend.label];
            page.add(&family::DRAINED, &of, backend.drained.into());
            page.add(&family::UNRESOLVED, &of, backend.lost.into());
            page.add(&family::WEIGHT, &of, backend.weight.into());
            for at in &backend.addresses {
                let address = at.address.to_string();
                let of = [name, &backend.label, &address];
                page.add(&family::HEALTHY, &of, at.healthy.into());
                page.add(&family::BACKEND_IN_FLIGHT, &of, at.in_flight.into());
                for state in STATES {
                    let labels = [name, &backend.label, &address, state.id()];
                    page.add(&family::BREAKER, &labels, (at.breaker == state).into());
                }
            }
        }
    }
}
