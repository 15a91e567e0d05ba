//! Whether the machine kept up while a check was run.
//!
//! A thread asks to be woken every few milliseconds and notes how late it is.
//! Where it was late by much, the program under test may have been held up by
//! just as much, and a finding that rests on time says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const TICK: Duration = Duration::from_millis(10);

/// Late by less than this is how every busy machine is.
const NOTICED: Duration = Duration::from_millis(50);

/// Watches the machine until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    stalls: Arc<Mutex<Vec<Stall>>>,
    stopped: Arc<AtomicBool>,
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
        Self { stalls, stopped }
    }

    /// How long the machine stalled since `begun`, all stalls together.
    pub fn stalled_since(&self, begun: Instant) -> Duration {
        let stalls = self.stalls.lock();
        let recent = stalls.iter().filter(|stall| stall.end >= begun);
        recent.map(|stall| stall.length.min(stall.end.duration_since(begun))).sum()
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
        let pulse = Pulse::start();
        let begun = Instant::now();
        pulse.stalls.lock().extend([
            Stall { end: begun - Duration::from_secs(1), length: Duration::from_secs(5) },
            // Began before, ended after: counts from the beginning.
            Stall { end: begun + Duration::from_millis(200), length: Duration::from_secs(1) },
            Stall { end: begun + Duration::from_secs(2), length: Duration::from_millis(300) },
        ]);
        let stalled = pulse.stalled_since(begun);
        assert!(stalled >= Duration::from_millis(500), "{stalled:?}");
        assert!(stalled < Duration::from_secs(4), "{stalled:?}");
    }
}
