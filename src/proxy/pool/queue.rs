//! Requests that wait for a backend to have room, in the order in which they came.
//!
//! One of them looks at a time, from the first to the last: who finds nothing keeps
//! its place and lets the next one look, since what has become free may be of no
//! use to the first (it is of another backend than it asked for, or of one that it
//! has tried).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config;

/// The waiting room of a pool.
#[derive(Debug)]
pub(super) struct Queue {
    /// As many as are in the line, for those who only want to know whether any are.
    waiting: AtomicUsize,
    most: usize,
    timeout: Duration,
    line: Mutex<Line>,
}

/// Who waits, and whose turn it is to look.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// The place of the one who is to come next.
    end: u64,
    /// The place of the one who is looking. Nobody: there was nothing for anybody
    /// when the last one looked, and nothing has become free since.
    looks: Option<u64>,
    /// Something has become free since the first one looked.
    again: bool,
}

/// A request that waits; dropped when it waits no longer.
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
    turn: Arc<Notify>,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(config: &config::Queue) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            most: config.length,
            timeout: config.timeout.get(),
            line: Mutex::default(),
        }
    }

    /// Nobody waits, so that nobody must stand behind.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// A request has left, or backends have come or gone: those who wait may look.
    pub(super) fn room_made(&self) {
        // Either this sees who waits, or who waits sees what was done before this.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.line.lock().look();
        }
    }

    /// Waits until `take` gives something. `None` if there is no place to wait, or
    /// if it takes longer than may be waited, which `left` may shorten.
    pub(super) async fn wait<T>(
        &self,
        left: Duration,
        mut take: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let place = self.enter()?;
        let wait = async {
            loop {
                place.turn.notified().await;
                if let Some(taken) = take() {
                    return taken;
                }
                self.line.lock().look_from(place.number + 1);
            }
        };
        let taken = tokio::time::timeout(self.timeout.min(left), wait).await.ok();
        if taken.is_some() {
            // What made room may have made more of it.
            place.leave(0);
        }
        taken
    }

    fn enter(&self) -> Option<Place<'_>> {
        let mut line = self.line.lock();
        if line.waiting.len() >= self.most {
            return None;
        }
        let (number, turn) = (line.end, Arc::new(Notify::new()));
        line.end += 1;
        line.waiting.insert(number, Arc::clone(&turn));
        self.waiting.store(line.waiting.len(), Ordering::Release);
        fence(Ordering::SeqCst);
        // What has become free before the place was taken told nobody. Where another
        // is looking, the turn comes here.
        if line.looks.is_none() {
            line.look_from(number);
        }
        Some(Place { queue: self, number, turn })
    }
}

// === impl Line ===

impl Line {
    /// Has all look, from the first.
    fn look(&mut self) {
        match self.looks {
            Some(_) => self.again = true,
            None => self.look_from(0),
        }
    }

    /// Gives the turn to the first one from this place on.
    fn look_from(&mut self, number: u64) {
        self.again &= number > 0;
        let mut next = self.waiting.range(number..).next();
        if next.is_none() && std::mem::take(&mut self.again) {
            next = self.waiting.iter().next();
        }
        if let Some((_, turn)) = next {
            turn.notify_one();
        }
        self.looks = next.map(|(number, _)| *number);
    }
}

// === impl Place ===

impl Place<'_> {
    /// Leaves the line; whose turn it was gives it to the first one from this place
    /// on.
    fn leave(&self, next: u64) {
        let mut line = self.queue.line.lock();
        if line.waiting.remove(&self.number).is_none() {
            return;
        }
        self.queue.waiting.store(line.waiting.len(), Ordering::Release);
        if line.looks == Some(self.number) {
            line.look_from(next);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave(self.number + 1);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
