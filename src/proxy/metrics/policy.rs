//! What policies decide, by the name of the policy.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::family;
use super::page::Page;

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
    missing: AtomicU64,
    refused: AtomicU64,
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
    /// The credentials are good.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// There were none.
    pub fn missing(&self) {
        self.missing.fetch_add(1, Relaxed);
    }

    /// They are wrong, expired, or not for this place.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn show(&self, policy: &str, page: &mut Page) {
        let results =
            [("accepted", &self.accepted), ("missing", &self.missing), ("refused", &self.refused)];
        for (result, count) in results {
            page.count(&family::AUTH, &[policy, result], count.load(Relaxed));
        }
    }
}
