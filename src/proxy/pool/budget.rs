//! A retry budget: what a pool's failures may cost its healthy backends.
//!
//! Each request puts a part of a retry into the budget, each retry takes one out.
//! So retries stay a share of the requests, however many fail, and a backend in
//! trouble is not buried under the repetition of what it could not bear.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use crate::config::Retries;

/// A whole retry, in the units that are counted.
const RETRY: i64 = 1000;

/// How many retries may be saved up, so that the death of a backend with many
/// requests in flight is survived by all of them.
const MOST: i64 = 1000 * RETRY;

/// The retries that a pool may make now.
#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicI64,
    /// What a request puts in.
    deposit: i64,
    /// What a second puts in.
    floor: i64,
    began: Instant,
    /// Milliseconds from `began` up to which the floor has been put in.
    filled: AtomicU64,
}

impl Budget {
    pub(super) fn new(retries: &Retries, began: Instant) -> Self {
        Self {
            saved: AtomicI64::new(MOST / 10),
            deposit: (retries.budget.get() * RETRY as f64) as i64,
            floor: i64::from(retries.budget_floor) * RETRY,
            began,
            filled: AtomicU64::new(0),
        }
    }

    /// A request has come.
    pub(super) fn deposit(&self) {
        // Whether it is full is looked at first, so that a pool without failures
        // only reads.
        if self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(self.deposit, Ordering::Relaxed);
        }
    }

    /// Takes one retry out, if there is one.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        self.fill(now);
        self.saved
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |saved| {
                (saved >= RETRY).then(|| saved.min(MOST) - RETRY)
            })
            .is_ok()
    }

    /// Puts in what the time since the last time is worth.
    fn fill(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.began).as_millis() as u64;
        let before = self.filled.fetch_max(passed, Ordering::AcqRel);
        let worth = passed.saturating_sub(before) as i64 * self.floor / 1000;
        if worth > 0 && self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(worth.min(MOST), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(text: &str, now: Instant) -> Budget {
        let budget = Budget::new(&toml::from_str(text).unwrap(), now);
        // Begin with nothing saved.
        while budget.withdraw(now) {}
        budget
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let now = Instant::now();
        let budget = budget("budget = 0.2\nbudget_floor = 0", now);
        for _ in 0..100 {
            budget.deposit();
        }
        let granted = (0..100).take_while(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 20);
    }

    #[test]
    fn some_are_allowed_however_few_requests_there_are() {
        let now = Instant::now();
        let budget = budget("budget = 0\nbudget_floor = 10", now);
        let later = now + Duration::from_secs(2);
        assert_eq!((0..100).take_while(|_| budget.withdraw(later)).count(), 20);
        assert!(!budget.withdraw(later));
    }

    #[test]
    fn no_more_is_saved_than_the_most() {
        let now = Instant::now();
        let budget = budget("budget = 1\nbudget_floor = 0", now);
        for _ in 0..5000 {
            budget.deposit();
        }
        let granted = (0..5000).take_while(|_| budget.withdraw(now)).count();
        assert_eq!(granted as i64, MOST / RETRY);
    }

    proptest::proptest! {
        /// Against one that counts in fractions, one thing at a time.
        #[test]
        fn it_grants_what_a_plain_account_would(
            acts in proptest::collection::vec((0u8..3, 0u64..400), 1..200),
            tenths in 0u32..=10,
            floor in 0u32..20,
        ) {
            let start = Instant::now();
            let share = f64::from(tenths) / 10.0;
            let text = format!("budget = {share}\nbudget_floor = {floor}");
            let budget = budget(&text, start);
            // In thousandths, as it is written down; time is worth what has passed since
            // it was last asked for a retry.
            let (mut saved, mut now, mut filled) = (0u64, 0u64, 0u64);
            for (act, time) in acts {
                match act {
                    0 => now += time,
                    1 => {
                        budget.deposit();
                        saved = (saved + u64::from(tenths) * 100).min(1_000_000);
                    }
                    _ => {
                        saved = (saved + (now - filled) * u64::from(floor)).min(1_000_000);
                        filled = now;
                        let granted = saved >= 1000;
                        saved -= if granted { 1000 } else { 0 };
                        let instant = start + Duration::from_millis(now);
                        proptest::prop_assert_eq!(budget.withdraw(instant), granted);
                    }
                }
            }
        }
    }

    #[test]
    fn threads_get_no_more_than_was_put_in() {
        let now = Instant::now();
        let budget = budget("budget = 0.5\nbudget_floor = 10", now);
        let granted: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let one = |n: u64| {
                            budget.deposit();
                            u32::from(budget.withdraw(now + Duration::from_millis(n)))
                        };
                        (0..1000).map(one).sum::<u32>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // 4,000 requests at a half, and ten a second for a second.
        assert!(granted <= 2010, "{granted}");
        let left = (0..5000).take_while(|_| budget.withdraw(now + Duration::from_millis(999)));
        assert_eq!(granted as usize + left.count(), 2009, "and none is lost");
    }
}
