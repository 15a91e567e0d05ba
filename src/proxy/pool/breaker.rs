//! A circuit breaker: an address that fails requests is left alone for a while.
//!
//! Closed, it counts failures. Enough of them in a row, or a large enough share
//! of them in a window, open it: the address gets no requests. After a while it
//! is half-open: one request at a time is let through, and how that one ends
//! closes the breaker or opens it again.
//!
//! A request that succeeds while all is well costs two relaxed loads and one
//! addition; only failures take the lock.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config;

/// The three states of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Requests pass.
    Closed = 0,
    /// None pass.
    Open = 1,
    /// One passes at a time.
    HalfOpen = 2,
}

/// The breaker of one address.
#[derive(Debug)]
pub(super) struct Breaker {
    /// `None`: it never opens.
    rules: Option<Rules>,
    state: AtomicU8,
    /// Failures in a row.
    in_a_row: AtomicU32,
    /// Requests of the window that have ended.
    ended: AtomicU32,
    /// A trial is under way while half-open.
    on_trial: AtomicBool,
    window: Mutex<Window>,
}

#[derive(Clone, Debug)]
struct Rules {
    consecutive_failures: u32,
    failure_rate: f64,
    minimum_requests: u32,
    window: Duration,
    open_for: Duration,
}

/// Begins with a failure; one that comes later than its length begins another.
#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    failures: u32,
    opened: Option<Instant>,
}

/// How a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Like any other.
    Free,
    /// As the one that says whether the address is well again.
    Trial,
}

// === impl BreakerState ===

impl BreakerState {
    /// What programs know the state by.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(config: &config::CircuitBreaker) -> Self {
        Self {
            rules: config.enabled.then(|| Rules {
                consecutive_failures: config.consecutive_failures.get(),
                failure_rate: config.failure_rate.get(),
                minimum_requests: config.minimum_requests.get(),
                window: config.window.get(),
                open_for: config.open_for.get(),
            }),
            state: AtomicU8::new(BreakerState::Closed as u8),
            in_a_row: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            on_trial: AtomicBool::new(false),
            window: Mutex::new(Window { began: None, failures: 0, opened: None }),
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// Whether a request may pass, and how. A trial that is granted must end in
    /// [`Self::succeeded`], [`Self::failed`] or [`Self::abandoned`].
    pub(super) fn pass(&self) -> Option<Passage> {
        match self.state() {
            BreakerState::Closed => Some(Passage::Free),
            BreakerState::Open => None,
            BreakerState::HalfOpen => self
                .on_trial
                .compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
                .then_some(Passage::Trial),
        }
    }

    /// A request has ended well. Returns whether that closed the breaker.
    pub(super) fn succeeded(&self, passage: Passage) -> bool {
        if passage == Passage::Trial {
            let mut window = self.window.lock();
            // Whatever was before the trial is history.
            *window = Window { began: None, failures: 0, opened: None };
            self.in_a_row.store(0, Ordering::Relaxed);
            self.ended.store(0, Ordering::Relaxed);
            self.state.store(BreakerState::Closed as u8, Ordering::Release);
            self.on_trial.store(false, Ordering::Release);
            return true;
        }
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// A request has failed. Returns whether that opened the breaker; `may_open`
    /// is asked before it opens anew.
    pub(super) fn failed(
        &self,
        passage: Passage,
        now: Instant,
        may_open: impl FnOnce() -> bool,
    ) -> bool {
        let Some(rules) = &self.rules else { return false };
        let mut window = self.window.lock();
        match (passage, self.state()) {
            (Passage::Trial, _) => {
                // It has kept its place among the ejected all the while.
                window.opened = Some(now);
                self.state.store(BreakerState::Open as u8, Ordering::Release);
                self.on_trial.store(false, Ordering::Release);
                return true;
            }
            // A request from before it opened: the verdict is there already.
            (Passage::Free, BreakerState::Open | BreakerState::HalfOpen) => return false,
            (Passage::Free, BreakerState::Closed) => {}
        }
        let fresh = window.began.is_none_or(|began| now.duration_since(began) > rules.window);
        if fresh {
            window.began = Some(now);
            window.failures = 0;
            self.ended.store(0, Ordering::Relaxed);
        }
        window.failures += 1;
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let too_many = in_a_row >= rules.consecutive_failures;
        let too_often = ended >= rules.minimum_requests
            && f64::from(window.failures) >= rules.failure_rate * f64::from(ended);
        if !(too_many || too_often) || !may_open() {
            return false;
        }
        window.opened = Some(now);
        self.state.store(BreakerState::Open as u8, Ordering::Release);
        true
    }

    /// A trial that told nothing, since the client went away: another may follow.
    pub(super) fn abandoned(&self, passage: Passage) {
        if passage == Passage::Trial {
            self.on_trial.store(false, Ordering::Release);
        }
    }

    /// When an open one becomes half-open.
    pub(super) fn half_opens_at(&self) -> Option<Instant> {
        let rules = self.rules.as_ref()?;
        let window = self.window.lock();
        (self.state() == BreakerState::Open)
            .then(|| window.opened.map(|opened| opened + rules.open_for))
            .flatten()
    }

    /// Lets one request at a time through, where its time has come. Returns
    /// whether it has.
    pub(super) fn half_open(&self, now: Instant) -> bool {
        let due = self.half_opens_at().is_some_and(|at| at <= now);
        if due {
            self.on_trial.store(false, Ordering::Release);
            self.state.store(BreakerState::HalfOpen as u8, Ordering::Release);
        }
        due
    }

    /// Closes it whatever it was, for an address whose health check has passed
    /// after failing. Returns whether it was not closed.
    pub(super) fn reset(&self) -> bool {
        let mut window = self.window.lock();
        let was_closed = self.state() == BreakerState::Closed;
        *window = Window { began: None, failures: 0, opened: None };
        self.in_a_row.store(0, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        self.state.store(BreakerState::Closed as u8, Ordering::Release);
        !was_closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn breaker(text: &str) -> Breaker {
        Breaker::new(&toml::from_str(text).unwrap())
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not_count() {
        let breaker = breaker("consecutive_failures = 3");
        let now = Instant::now();
        let fail = || breaker.failed(Passage::Free, now, || true);
        assert!(!fail() && !fail());
        breaker.succeeded(Passage::Free);
        assert!(!fail() && !fail());
        assert!(fail(), "the third in a row");
        assert_eq!((breaker.state(), breaker.pass()), (BreakerState::Open, None));
    }

    #[test]
    fn a_share_of_failures_opens_it_once_there_are_enough_requests() {
        let breaker = breaker(
            "consecutive_failures = 1000\nfailure_rate = 0.5\nminimum_requests = 10\nwindow = '10s'",
        );
        let now = Instant::now();
        for turn in 0..4 {
            assert!(!breaker.failed(Passage::Free, now, || true), "{turn}");
            breaker.succeeded(Passage::Free);
        }
        // 4 of 8; the fifth is one of 9, which are too few; then 6 of 10.
        assert!(!breaker.failed(Passage::Free, now, || true));
        assert!(breaker.failed(Passage::Free, now, || true));
    }

    #[test]
    fn what_failed_before_the_window_is_forgotten() {
        let breaker = breaker(
            "consecutive_failures = 1000\nfailure_rate = 0.5\nminimum_requests = 4\nwindow = '10s'",
        );
        let start = Instant::now();
        for second in [0, 1, 2] {
            assert!(!breaker.failed(Passage::Free, at(start, second), || true));
        }
        assert!(!breaker.failed(Passage::Free, at(start, 11), || true), "a new window");
        assert!(!breaker.failed(Passage::Free, at(start, 12), || true));
    }

    #[test]
    fn half_open_lets_one_through_whose_end_decides() {
        let breaker = breaker("consecutive_failures = 1\nopen_for = '10s'");
        let start = Instant::now();
        assert!(breaker.failed(Passage::Free, start, || true));
        assert!(!breaker.half_open(at(start, 9)));
        assert!(breaker.half_open(at(start, 10)));
        assert_eq!(breaker.pass(), Some(Passage::Trial));
        assert_eq!(breaker.pass(), None, "one at a time");
        assert!(breaker.failed(Passage::Trial, at(start, 10), || panic!("it is ejected already")));
        assert_eq!(breaker.half_opens_at(), Some(at(start, 20)));
        assert!(breaker.half_open(at(start, 20)));
        assert_eq!(breaker.pass(), Some(Passage::Trial));
        breaker.abandoned(Passage::Trial);
        assert_eq!(breaker.pass(), Some(Passage::Trial), "another after one that told nothing");
        assert!(breaker.succeeded(Passage::Trial));
        assert_eq!((breaker.state(), breaker.pass()), (BreakerState::Closed, Some(Passage::Free)));
    }

    #[test]
    fn one_that_may_not_open_stays_in_use() {
        let breaker = breaker("consecutive_failures = 1");
        assert!(!breaker.failed(Passage::Free, Instant::now(), || false));
        assert_eq!(breaker.state(), BreakerState::Closed);
        let off = self::breaker("enabled = false\nconsecutive_failures = 1");
        assert!(!off.failed(Passage::Free, Instant::now(), || true));
    }

    #[test]
    fn of_many_at_once_one_gets_the_trial() {
        for _ in 0..200 {
            let breaker = Arc::new(breaker("consecutive_failures = 1\nopen_for = '1ms'"));
            let start = Instant::now();
            breaker.failed(Passage::Free, start, || true);
            breaker.half_open(at(start, 1));
            let granted = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if breaker.pass() == Some(Passage::Trial) {
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(granted.into_inner(), 1);
        }
    }
}
