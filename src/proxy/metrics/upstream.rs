//! Tries, by the backend that they were made at.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus::Histogram;

use super::family;
use super::page::Page;
use super::tally::Tally;
use super::traffic;
use crate::proxy::answer::Reason;

/// What is counted of the tries at one backend.
pub struct Upstream {
    first_byte: Histogram,
    new: AtomicU64,
    reused: AtomicU64,
    failures: Tally,
    retries: [AtomicU64; CAUSES.len()],
    ejections: AtomicU64,
}

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was no connection.
    Connect = 0,
    /// The connection broke.
    Broken = 1,
    /// A connection that had been kept was closed in the meantime.
    Stale = 2,
}

const CAUSES: [&str; 3] = ["connect", "broken", "stale"];

// === impl Upstream ===

impl Upstream {
    pub(super) fn new() -> Self {
        Self {
            first_byte: traffic::durations(),
            new: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            failures: Tally::default(),
            retries: Default::default(),
            ejections: AtomicU64::new(0),
        }
    }

    /// A request is sent over a connection.
    pub fn connected(&self, reused: bool) {
        (if reused { &self.reused } else { &self.new }).fetch_add(1, Relaxed);
    }

    /// The header of an answer has come, after so long.
    pub fn answered(&self, after: Duration) {
        self.first_byte.observe(after.as_secs_f64());
    }

    /// A try has failed.
    pub fn failed(&self, reason: Reason) {
        self.failures.failed(reason);
    }

    /// A request that has failed here is sent again, here or elsewhere.
    pub fn retried(&self, cause: Cause) {
        self.retries[cause as usize].fetch_add(1, Relaxed);
    }

    /// The breaker of an address has opened.
    pub fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    pub(super) fn show(&self, pool: &str, backend: &str, page: &mut Page) {
        page.histogram(&family::FIRST_BYTE, &[pool, backend], &self.first_byte);
        for (kind, count) in [("new", &self.new), ("reused", &self.reused)] {
            page.count(&family::CONNECTIONS, &[pool, backend, kind], count.load(Relaxed));
        }
        for (reason, count) in self.failures.counted() {
            page.count(&family::UPSTREAM_FAILURES, &[pool, backend, reason], count);
        }
        for (cause, count) in CAUSES.into_iter().zip(&self.retries) {
            page.count(&family::RETRIES, &[pool, backend, cause], count.load(Relaxed));
        }
        page.count(&family::EJECTIONS, &[pool, backend], self.ejections.load(Relaxed));
    }
}
