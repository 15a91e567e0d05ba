//! How many requests may go through: the band in which a limit is right.

use std::time::{Duration, Instant};

/// What is allowed above the arithmetic: one request that falls on an edge.
pub const EDGE: u64 = 1;

/// So many requests a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many a second.
    pub requests: u64,
    /// How many at once.
    pub burst: u64,
}

/// When a request that was let through was on its way: it was decided on between these.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Before its connection was made.
    pub sent: Instant,
    /// Behind the last byte of its answer.
    pub answered: Instant,
}

/// Some time in which too many were let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// How many.
    pub passed: u64,
    /// How many might have been.
    pub most: u64,
    /// In what time, as long as it can have been.
    pub took: Duration,
}

// === impl Quota ===

impl Quota {
    /// As many at once as in a second.
    pub fn even(requests: u64) -> Self {
        Self { requests, burst: requests }
    }

    /// How many may be let through in a time: the burst, what comes in during it, and one.
    pub fn most(&self, took: Duration) -> u64 {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.burst + micros.saturating_mul(self.requests) / 1_000_000 + EDGE
    }

    /// The time in which there was most too much, of all times from the beginning of one
    /// request to the end of another. A busy machine makes these times longer than they
    /// were, and so can only hide that there was too much.
    pub fn excess(&self, passed: &[Way]) -> Option<Excess> {
        let windows = passed.iter().flat_map(|first| {
            let mut ends: Vec<_> = passed
                .iter()
                .filter(|way| way.sent >= first.sent)
                .map(|way| way.answered)
                .collect();
            ends.sort_unstable();
            (1..).zip(ends).map(|(passed, end)| {
                let took = end - first.sent;
                Excess { passed, most: self.most(took), took }
            })
        });
        windows
            .filter(|window| window.passed > window.most)
            .max_by_key(|window| window.passed - window.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that are let through at these times, in milliseconds, each in no time.
    fn at(times: impl IntoIterator<Item = u64>) -> Vec<Way> {
        let begun = Instant::now();
        let way = |ms| {
            let then = begun + Duration::from_millis(ms);
            Way { sent: then, answered: then }
        };
        times.into_iter().map(way).collect()
    }

    #[test]
    fn a_bucket_is_within_the_band_to_the_request() {
        let quota = Quota::even(10);
        // Ten at once, then one each 100 ms, and the one that may fall on an edge.
        let bucket = std::iter::repeat_n(0, 10).chain((1..=30).map(|number| number * 100));
        assert_eq!(quota.excess(&at(bucket.clone())), None);
        assert_eq!(quota.excess(&at(bucket.clone().chain([3000]))), None);
        let excess = quota.excess(&at(bucket.chain([3000, 3000]))).expect("too much");
        assert_eq!((excess.passed, excess.most), (42, 41));
        assert_eq!(excess.took, Duration::from_secs(3));
    }

    #[test]
    fn two_windows_that_touch_are_not() {
        let quota = Quota::even(10);
        let windows = std::iter::repeat_n(950, 10).chain(std::iter::repeat_n(1050, 10));
        let excess = quota.excess(&at(windows)).expect("too much");
        assert_eq!((excess.passed, excess.most), (20, 12));
        assert_eq!(excess.took, Duration::from_millis(100));
    }

    #[test]
    fn what_was_long_on_its_way_counts_for_all_of_it() {
        let quota = Quota { requests: 10, burst: 2 };
        let mut ways = at([0, 0, 0, 0, 0]);
        assert_eq!(quota.excess(&ways).map(|excess| excess.most), Some(3));
        for way in &mut ways {
            way.answered += Duration::from_millis(200);
        }
        assert_eq!(quota.excess(&ways), None);
    }
}
