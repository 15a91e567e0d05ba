//! A request's place at an address of a backend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::breaker::Passage;
use super::endpoint::Endpoint;

/// A request's place at an address, from the moment that it is chosen until the
/// request has ended or goes elsewhere. How it went is told at most once; a
/// ticket that is dropped untold says nothing of the address.
pub struct Ticket {
    pool: Arc<Pool>,
    endpoint: Arc<Endpoint>,
    passage: Passage,
    told: bool,
}

impl Ticket {
    pub(super) fn new(pool: Arc<Pool>, endpoint: Arc<Endpoint>, passage: Passage) -> Self {
        Self { pool, endpoint, passage, told: false }
    }

    /// The address.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The backend has answered.
    pub fn succeeded(&mut self) {
        if !std::mem::replace(&mut self.told, true) && self.endpoint.breaker.succeeded(self.passage)
        {
            self.pool.breaker_closed(&self.endpoint);
        }
    }

    /// The backend has not, or with an answer that counts as a failure. One that
    /// broke off after it had begun counts too, so this may follow
    /// [`Self::succeeded`].
    pub fn failed(&mut self) {
        // A trial that has succeeded is over, whatever comes after it.
        let passage = if self.told { Passage::Free } else { self.passage };
        self.told = true;
        if self.endpoint.breaker.failed(passage, Instant::now()) {
            self.pool.breaker_opened(&self.endpoint);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.told {
            self.endpoint.breaker.abandoned(self.passage);
        }
        if self.endpoint.leave() || self.passage != Passage::Free {
            self.pool.room_made();
        }
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
