//! Whether the machine kept up while a check was run.
//!
//! A thread asks to be woken every few milliseconds and notes how late it is.
//! Where it was late by much, the program under test may have been held up by
//! just as much, and a finding that rests on time says nothing. Nor does it where
//! the program may have waited for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::disk;

const TICK: Duration = Duration::from_millis(10);

/// Late by less than this is how every busy machine is.
const NOTICED: Duration = Duration::from_millis(50);

/// Watches the machine until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    stalls: Arc<Mutex<Vec<Stall>>>,
    stopped: Arc<AtomicBool>,
    waited_for_disk: fn() -> Duration,
}

/// A moment from which stalls count.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    at: Instant,
    waited_for_disk: Duration,
}

/// A time in which nothing ran, or nothing of ours.
#[derive(Clone, Copy, Debug)]
struct Stall {
    end: Instant,
    length: Duration,
}

// === impl Pulse ===

impl Pulse {
    /// Begins to watch.
    pub fn start() -> Self {
        Self::beside(disk::waited_for)
    }

    /// The same with this for the time that the machine has waited for its disk.
    pub(super) fn beside(waited_for_disk: fn() -> Duration) -> Self {
        let stalls = Arc::<Mutex<Vec<Stall>>>::default();
        let stopped = Arc::<AtomicBool>::default();
        let (noted, ended) = (Arc::clone(&stalls), Arc::clone(&stopped));
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let due = Instant::now() + TICK;
                thread::sleep(TICK);
                let end = Instant::now();
                let length = end.saturating_duration_since(due);
                if length >= NOTICED {
                    noted.lock().push(Stall { end, length });
                }
            }
        });
        Self { stalls, stopped, waited_for_disk }
    }

    /// Stalls count from now.
    pub fn begun(&self) -> Begun {
        Begun { at: Instant::now(), waited_for_disk: (self.waited_for_disk)() }
    }

    /// How long the machine stood still or waited for its disk since then, whichever is longer:
    /// all stalls together.
    pub fn stalled_since(&self, begun: Begun) -> Duration {
        let Begun { at, waited_for_disk } = begun;
        let stalls = self.stalls.lock();
        let recent = stalls.iter().filter(|stall| stall.end >= at);
        let stood: Duration = recent.map(|stall| stall.length.min(stall.end - at)).sum();
        stood.max((self.waited_for_disk)().saturating_sub(waited_for_disk))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_before_the_beginning_do_not_count() {
        let pulse = Pulse::beside(Duration::default);
        let since = pulse.begun();
        let begun = since.at;
        pulse.stalls.lock().extend([
            Stall { end: begun - Duration::from_secs(1), length: Duration::from_secs(5) },
            // Began before, ended after: counts from the beginning.
            Stall { end: begun + Duration::from_millis(200), length: Duration::from_secs(1) },
            Stall { end: begun + Duration::from_secs(2), length: Duration::from_millis(300) },
        ]);
        let stalled = pulse.stalled_since(since);
        assert!(stalled >= Duration::from_millis(500), "{stalled:?}");
        assert!(stalled < Duration::from_secs(4), "{stalled:?}");
    }
}
