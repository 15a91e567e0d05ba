//! What policies decide, by the name of the policy.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::family;
use super::page::Page;
use super::tally::Tally;
use crate::proxy::auth::denial::Denial;

/// What a rate limit has decided.
#[derive(Debug, Default)]
pub struct Decisions {
    allowed: AtomicU64,
    limited: AtomicU64,
}

/// How it went with those who were asked for credentials.
#[derive(Debug, Default)]
pub struct AuthResults {
    accepted: AtomicU64,
    denied: Tally,
}

// === impl Decisions ===

impl Decisions {
    /// A request was within the limit, or was not.
    pub fn decided(&self, within: bool) {
        (if within { &self.allowed } else { &self.limited }).fetch_add(1, Relaxed);
    }

    pub(super) fn show(&self, policy: &str, page: &mut Page) {
        for (decision, count) in [("allowed", &self.allowed), ("limited", &self.limited)] {
            page.count(&family::RATE_LIMIT, &[policy, decision], count.load(Relaxed));
        }
    }
}

// === impl AuthResults ===

impl AuthResults {
    /// The client is known and may go on.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// It may not.
    pub fn denied(&self, denial: Denial) {
        self.denied.count(denial as usize, denial.word());
    }

    pub(super) fn show(&self, policy: &str, page: &mut Page) {
        page.count(&family::AUTH, &[policy, "accepted"], self.accepted.load(Relaxed));
        for (word, count) in self.denied.counted() {
            page.count(&family::AUTH, &[policy, word], count);
        }
    }
}
