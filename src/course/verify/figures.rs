//! How long many runs took.

use std::time::Duration;

use serde::Serialize;

/// Times, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The time in the middle, in milliseconds.
    pub p50_ms: u64,
    /// Of twenty, nineteen are no longer; in milliseconds.
    pub p95_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
}

impl Figures {
    /// Of these times; nothing where there are none.
    pub fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.map(|time| time.as_millis()).collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(rank).map_or(0, |ms| u64::try_from(*ms).unwrap_or(u64::MAX))
        };
        Self { p50_ms: at(50), p95_ms: at(95), max_ms: at(100) }
    }
}
