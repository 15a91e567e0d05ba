//! What policies decide, by the name of the policy.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::family::{self, Family};
use super::page::Page;
use super::tally::Tally;
use crate::proxy::auth::denial::Denial;

/// What a policy that only lets through or refuses has decided.
#[derive(Debug, Default)]
pub struct Decisions {
    allowed: AtomicU64,
    refused: AtomicU64,
}

/// How it went with those who were asked for credentials.
#[derive(Debug, Default)]
pub struct AuthResults {
    accepted: AtomicU64,
    denied: Tally,
}

// === impl Decisions ===

impl Decisions {
    /// A request may go on, or may not.
    pub fn decided(&self, allowed: bool) {
        (if allowed { &self.allowed } else { &self.refused }).fetch_add(1, Relaxed);
    }

    /// As series of a family, which has a word of its own for refusals.
    pub(super) fn show(
        &self,
        family: &Family,
        policy: &str,
        refused: &'static str,
        page: &mut Page,
    ) {
        for (decision, count) in [("allowed", &self.allowed), (refused, &self.refused)] {
            page.count(family, &[policy, decision], count.load(Relaxed));
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
