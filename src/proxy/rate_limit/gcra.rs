//! Whether there is room for one more request.
//!
//! The generic cell rate algorithm (ITU-T I.371, in its form of virtual scheduling):
//! of each client only that moment is known up to which its requests have used up the
//! rate. A request moves it on by one interval, and has room if it does not come to
//! lie further ahead of now than a burst allows. So no more than `burst` requests go
//! through at once, and in any time no more than `burst` and one for each interval
//! of it.

use std::time::Duration;

use crate::config;

/// The rate and the burst of a policy. Times are nanoseconds since an epoch that the
/// caller chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// Between two requests of a client that sends as many as it may.
    interval: u64,
    /// How far ahead the rate may be used up.
    ahead: u64,
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has room.
    Room {
        /// Up to when the rate is used up with this request.
        until: u64,
    },
    /// It has none.
    Full {
        /// The time until a request has room.
        wait: Duration,
    },
}

// === impl Gcra ===

impl Gcra {
    /// What a validated policy says.
    pub fn new(written: &config::RateLimit) -> Self {
        let interval = u64::try_from(written.interval().as_nanos()).unwrap_or(u64::MAX);
        Self { interval, ahead: interval.saturating_mul(written.burst().into()) }
    }

    /// Whether a request that comes `now` has room, where the rate is used up until
    /// `used`; any time in the past for a client of whom nothing is known.
    pub fn ask(&self, used: u64, now: u64) -> Outcome {
        let until = used.max(now).saturating_add(self.interval);
        match until.saturating_sub(now).checked_sub(self.ahead) {
            None | Some(0) => Outcome::Room { until },
            Some(wait) => Outcome::Full { wait: Duration::from_nanos(wait) },
        }
    }

    /// How many more requests have room, where the rate is used up until `used`.
    pub fn left(&self, used: u64, now: u64) -> u64 {
        self.ahead.saturating_sub(used.saturating_sub(now)) / self.interval.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    fn gcra(interval: u64, burst: u64) -> Gcra {
        Gcra { interval, ahead: interval * burst }
    }

    fn of(text: &str) -> Gcra {
        Gcra::new(&toml::from_str(text).unwrap())
    }

    fn has_room(outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Room { .. })
    }

    #[test]
    fn a_rate_is_never_rounded_up() {
        assert_eq!(of("requests = 10"), gcra(100_000_000, 10));
        assert_eq!(of("requests = 3"), gcra(333_333_334, 3));
        assert_eq!(of("requests = 1\nper = '30days'\nburst = 2"), gcra(2_592_000_000_000_000, 2));
    }

    #[test]
    fn a_burst_then_one_each_interval_and_the_wait_is_exact() {
        let gcra = gcra(100, 3);
        let mut used = 0;
        let mut ask = |now: u64| match gcra.ask(used, now) {
            Outcome::Room { until } => {
                used = until;
                Ok(gcra.left(used, now))
            }
            Outcome::Full { wait } => Err(wait.as_nanos()),
        };
        assert_eq!([ask(1000), ask(1000), ask(1000)], [Ok(2), Ok(1), Ok(0)]);
        assert_eq!([ask(1000), ask(1001), ask(1099)], [Err(100), Err(99), Err(1)]);
        assert_eq!([ask(1100), ask(1100)], [Ok(0), Err(100)]);
        assert_eq!([ask(1350), ask(1350), ask(1350)], [Ok(1), Ok(0), Err(50)]);
        assert_eq!(ask(9_999_999), Ok(2));
    }

    /// The other form of the same algorithm, a bucket that leaks.
    struct LeakyBucket {
        interval: u64,
        burst: u64,
        level: u64,
        last: u64,
    }

    impl LeakyBucket {
        fn takes(&mut self, now: u64) -> bool {
            self.level = self.level.saturating_sub(now - self.last);
            self.last = now;
            let fits = self.level + self.interval <= self.interval * self.burst;
            if fits {
                self.level += self.interval;
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_a_leaky_bucket_does_and_as_governor_does(
            interval in 1_u64..5_000,
            burst in 1_u32..20,
            pauses in prop::collection::vec(prop_oneof![
                3 => 0_u64..3,
                3 => 0_u64..6_000,
                1 => 0_u64..200_000,
            ], 1..300),
        ) {
            let gcra = gcra(interval, burst.into());
            let mut bucket =
                LeakyBucket { interval, burst: burst.into(), level: 0, last: 0 };
            let clock = FakeRelativeClock::default();
            let quota = Quota::with_period(Duration::from_nanos(interval)).unwrap()
                .allow_burst(NonZeroU32::new(burst).unwrap());
            let governor = RateLimiter::direct_with_clock(quota, clock.clone());
            let (mut now, mut used) = (0, 0);
            for pause in pauses {
                now += pause;
                clock.advance(Duration::from_nanos(pause));
                let outcome = gcra.ask(used, now);
                prop_assert_eq!(has_room(outcome), bucket.takes(now));
                prop_assert_eq!(has_room(outcome), governor.check().is_ok());
                match outcome {
                    Outcome::Room { until } => {
                        used = until;
                        // What is said to be left is what goes through at once.
                        let mut ahead = until;
                        for _ in 0..gcra.left(until, now) {
                            let Outcome::Room { until } = gcra.ask(ahead, now) else {
                                return Err(TestCaseError::fail("less was left"));
                            };
                            ahead = until;
                        }
                        prop_assert!(!has_room(gcra.ask(ahead, now)));
                    }
                    Outcome::Full { wait } => {
                        let wait = wait.as_nanos() as u64;
                        let (early, then) = (gcra.ask(used, now + wait - 1), gcra.ask(used, now + wait));
                        prop_assert!(!has_room(early));
                        prop_assert!(has_room(then));
                    }
                }
            }
        }
    }
}
