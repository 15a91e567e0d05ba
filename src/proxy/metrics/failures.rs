//! Failures, by their reason.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::proxy::answer::Reason;

/// More than there are reasons.
const ROOM: usize = 64;

/// How often something has failed, for each reason.
pub(super) struct Failures([Cell; ROOM]);

#[derive(Default)]
struct Cell {
    reason: OnceLock<&'static str>,
    count: AtomicU64,
}

// === impl Failures ===

impl Default for Failures {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Cell::default()))
    }
}

impl Failures {
    pub(super) fn count(&self, reason: Reason) {
        if let Some(cell) = self.0.get(reason as usize) {
            cell.reason.get_or_init(|| reason.id());
            cell.count.fetch_add(1, Relaxed);
        }
    }

    /// Those that have happened.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().filter_map(|cell| Some((*cell.reason.get()?, cell.count.load(Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_apart() {
        let failures = Failures::default();
        for reason in [Reason::NoRoute, Reason::Internal, Reason::NoRoute] {
            failures.count(reason);
        }
        let counted: Vec<_> = failures.counted().collect();
        assert_eq!(counted, [("no_route", 2), ("internal", 1)]);
    }
}
