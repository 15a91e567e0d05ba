//! A circuit breaker: an address that fails requests is left alone for a while.
//!
//! Closed, it counts failures. Enough of them in a row, or a large enough share
//! of them in a window, open it: the address gets no requests. After a while it
//! is half-open: one request at a time is let through, and how that one ends
//! closes the breaker or opens it again.
//!
//! A request that succeeds while all is well costs two relaxed loads and one
//! addition; only failures take the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config;

/// The three states of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None pass.
    Open,
    /// One passes at a time.
    HalfOpen,
}

/// The breaker of one address.
#[derive(Debug)]
pub(super) struct Breaker {
    /// `None`: it never opens.
    rules: Option<Rules>,
    word: AtomicU32,
    /// Failures in a row.
    in_a_row: AtomicU32,
    /// Requests of the window that have ended.
    ended: AtomicU32,
    window: Mutex<Window>,
    ejections: Arc<Ejections>,
}

/// The state of a breaker, whether a trial is under way, and how often the state
/// has changed, in one word: so a trial that ends late, when the state has become
/// another and perhaps the same again, is known to be of an earlier time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u32);

#[derive(Clone, Debug)]
struct Rules {
    consecutive_failures: u32,
    failure_rate: f64,
    minimum_requests: u32,
    window: Duration,
    open_for: Duration,
}

/// Begins with a failure; one that comes later than its length begins another.
/// Whoever changes the state holds the lock of it.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    failures: u32,
    opened: Option<Instant>,
    /// Held from the opening until it closes.
    ejection: Option<Ejection>,
    /// Nobody comes any more, so it never opens.
    retired: bool,
}

/// How a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Like any other.
    Free,
    /// As the one that says whether the address is well again, asked at this time.
    Trial(Word),
}

/// How many addresses of a pool are left alone by their breakers, and how many may
/// be.
#[derive(Debug, Default)]
pub(super) struct Ejections {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// The leave of one address to be left alone.
#[derive(Debug)]
struct Ejection(Arc<Ejections>);

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

// === impl Ejections ===

impl Ejections {
    /// From now on there may be so many. Those that are more already come back in
    /// their own time.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Release);
    }

    fn take(self: &Arc<Self>) -> Option<Ejection> {
        let most = self.most.load(Ordering::Acquire);
        self.now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now < most).then_some(now + 1)
            })
            .ok()
            .map(|_| Ejection(Arc::clone(self)))
    }
}

impl Drop for Ejection {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Word ===

impl Word {
    const CLOSED: u32 = 0;
    const OPEN: u32 = 1;
    const HALF_OPEN: u32 = 2;
    const ON_TRIAL: u32 = 3;

    const fn phase(self) -> u32 {
        self.0 & 3
    }

    /// The word of a new time, in which it is in this phase.
    const fn next(self, phase: u32) -> Self {
        Self((self.0 & !3).wrapping_add(4) | phase)
    }

    /// The word of the same time with this phase.
    const fn with(self, phase: u32) -> Self {
        Self(self.0 & !3 | phase)
    }
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(config: &config::CircuitBreaker, ejections: Arc<Ejections>) -> Self {
        Self {
            rules: config.enabled.then(|| Rules {
                consecutive_failures: config.consecutive_failures.get(),
                failure_rate: config.failure_rate.get(),
                minimum_requests: config.minimum_requests.get(),
                window: config.window.get(),
                open_for: config.open_for.get(),
            }),
            word: AtomicU32::new(Word::CLOSED),
            in_a_row: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            window: Mutex::default(),
            ejections,
        }
    }

    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.word().phase() {
            Word::CLOSED => BreakerState::Closed,
            Word::OPEN => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// Whether a request that came now would pass.
    pub(super) fn lets_pass(&self) -> bool {
        matches!(self.word().phase(), Word::CLOSED | Word::HALF_OPEN)
    }

    /// Whether a request may pass, and how. A trial that is granted must end in
    /// [`Self::succeeded`], [`Self::failed`] or [`Self::abandoned`].
    pub(super) fn pass(&self) -> Option<Passage> {
        let word = self.word();
        match word.phase() {
            Word::CLOSED => Some(Passage::Free),
            Word::HALF_OPEN => {
                let trial = word.with(Word::ON_TRIAL);
                self.exchange(word, trial).then_some(Passage::Trial(trial))
            }
            _ => None,
        }
    }

    /// A request has ended well. Returns whether that closed the breaker.
    pub(super) fn succeeded(&self, passage: Passage) -> bool {
        if let Passage::Trial(trial) = passage {
            let mut window = self.window.lock();
            if self.word() == trial {
                self.close(&mut window);
                return true;
            }
        }
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// A request has failed. Returns whether that opened the breaker; it does not
    /// where as many are open as may be.
    pub(super) fn failed(&self, passage: Passage, now: Instant) -> bool {
        let Some(rules) = &self.rules else { return false };
        let mut window = self.window.lock();
        let word = self.word();
        if passage == Passage::Trial(word) {
            // It has kept its place among the ejected all the while.
            self.open(&mut window, now);
            return true;
        }
        // A request from before it opened: the verdict is there already.
        if word.phase() != Word::CLOSED || window.retired {
            return false;
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
        if !(too_many || too_often) {
            return false;
        }
        window.ejection = self.ejections.take();
        if window.ejection.is_none() {
            return false;
        }
        self.open(&mut window, now);
        true
    }

    /// A trial that told nothing, since the client went away: another may follow.
    pub(super) fn abandoned(&self, passage: Passage) {
        if let Passage::Trial(trial) = passage {
            self.exchange(trial, trial.with(Word::HALF_OPEN));
        }
    }

    /// When an open one becomes half-open.
    pub(super) fn half_opens_at(&self) -> Option<Instant> {
        self.due(&self.window.lock())
    }

    /// Lets one request at a time through, where its time has come. Returns
    /// whether it has.
    pub(super) fn half_open(&self, now: Instant) -> bool {
        let window = self.window.lock();
        let due = self.due(&window).is_some_and(|at| at <= now);
        if due {
            self.enter_phase(&window, Word::HALF_OPEN);
        }
        due
    }

    /// Closes it whatever it was, for an address whose health check has passed
    /// after failing. Returns whether it was not closed.
    pub(super) fn reset(&self) -> bool {
        let mut window = self.window.lock();
        let was_closed = self.word().phase() == Word::CLOSED;
        self.close(&mut window);
        !was_closed
    }

    /// Closes it for good, for an address that nobody is sent to any more: it is
    /// not one of those that are left alone, however its last requests end.
    pub(super) fn retire(&self) {
        let mut window = self.window.lock();
        self.close(&mut window);
        window.retired = true;
    }

    fn due(&self, window: &Window) -> Option<Instant> {
        let rules = self.rules.as_ref()?;
        let open = self.word().phase() == Word::OPEN;
        open.then_some(window.opened)?.map(|opened| opened + rules.open_for)
    }

    fn open(&self, window: &mut Window, now: Instant) {
        window.opened = Some(now);
        self.enter_phase(window, Word::OPEN);
    }

    /// Whatever was before is history.
    fn close(&self, window: &mut Window) {
        *window = Window { retired: window.retired, ..Window::default() };
        self.in_a_row.store(0, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        self.enter_phase(window, Word::CLOSED);
    }

    /// A trial that is granted or given back at the same moment is one of a time
    /// that is over.
    fn enter_phase(&self, _locked: &Window, phase: u32) {
        self.word.store(self.word().next(phase).0, Ordering::Release);
    }

    fn exchange(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
