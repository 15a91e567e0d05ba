//! How often each of some words was said, like the reasons of failures.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::proxy::answer::Reason;

/// More than there are words of one kind.
const ROOM: usize = 64;

/// How often each word was said.
#[derive(Debug)]
pub(super) struct Tally([Cell; ROOM]);

#[derive(Debug, Default)]
struct Cell {
    word: OnceLock<&'static str>,
    count: AtomicU64,
}

// === impl Tally ===

impl Default for Tally {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Cell::default()))
    }
}

impl Tally {
    /// The word of this place was said; each has its own.
    pub(super) fn count(&self, place: usize, word: &'static str) {
        if let Some(cell) = self.0.get(place) {
            cell.word.get_or_init(|| word);
            cell.count.fetch_add(1, Relaxed);
        }
    }

    /// Something has failed for this reason.
    pub(super) fn failed(&self, reason: Reason) {
        self.count(reason as usize, reason.id());
    }

    /// The words that were said.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().filter_map(|cell| Some((*cell.word.get()?, cell.count.load(Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_apart() {
        let failures = Tally::default();
        for reason in [Reason::NoRoute, Reason::Internal, Reason::NoRoute] {
            failures.failed(reason);
        }
        let counted: Vec<_> = failures.counted().collect();
        assert_eq!(counted, [("no_route", 2), ("internal", 1)]);
    }
}
