//! Who a request gets a place at, or why nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::Passage;
use super::endpoint::{Endpoint, Refusal};
use super::rotation::Found;
use super::{Pool, Ticket};

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

// === impl Pool ===

impl Pool {
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
        // In a box, so that those who need not wait carry no room for it.
        let waited = Box::pin(self.queue.wait(left, || match self.take(target, key, tried) {
            Found::Taken(ticket) => Some(Some(ticket)),
            Found::Full => None,
            Found::Nobody => Some(None),
        }))
        .await;
        match waited {
            Some(Some(ticket)) => Ok(ticket),
            Some(None) => Err(NoBackend::NoneHealthy),
            None => Err(NoBackend::Overloaded),
        }
    }

    fn take(self: &Arc<Self>, target: Target, key: &[u8], tried: &[SocketAddr]) -> Found<Ticket> {
        let rotation = self.rotation.load();
        let ticket = |endpoint: &Arc<Endpoint>, passage: Result<Passage, Refusal>| {
            passage.map(|passage| Ticket::new(Arc::clone(self), Arc::clone(endpoint), passage))
        };
        let mut take = |endpoint: &Arc<Endpoint>| {
            let passage = endpoint.enter().inspect_err(|refusal| {
                if *refusal == Refusal::Overtaken {
                    self.room_made();
                }
            });
            ticket(endpoint, passage)
        };
        match target {
            Target::Named(index) => rotation.one_of(index, &self.counters, tried, &mut take),
            Target::Any => match rotation.any(key, &self.counters, tried, &mut take) {
                Found::Nobody => rotation.last_resort(&self.counters, tried, |endpoint| {
                    ticket(endpoint, endpoint.enter_anyway())
                }),
                found => found,
            },
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
}
