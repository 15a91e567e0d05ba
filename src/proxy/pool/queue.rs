//! Requests that wait for a backend to have room, in the order in which they came.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config;

/// The waiting room of a pool.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    most: usize,
    timeout: Duration,
    room: Notify,
}

/// A request that waits; dropped when it waits no longer.
struct Place<'a>(&'a Queue);

impl Queue {
    pub(super) fn new(config: &config::Queue) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            most: config.length,
            timeout: config.timeout.get(),
            room: Notify::new(),
        }
    }

    /// Somebody waits, so that others must stand behind.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// A request has left: the first one that waits may look.
    pub(super) fn room_made(&self) {
        if !self.is_empty() {
            self.room.notify_one();
        }
    }

    /// Waits until `take` gives something. `None` if there is no place to wait, or
    /// if it takes longer than may be waited, which `left` may shorten.
    pub(super) async fn wait<T>(
        &self,
        left: Duration,
        mut take: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let _place = self.enter()?;
        let wait = async {
            loop {
                let room = self.room.notified();
                // Looked at after the place is taken: what has left before that
                // told nobody.
                if let Some(taken) = take() {
                    // What made room may have made more of it.
                    self.room_made();
                    return taken;
                }
                room.await;
            }
        };
        tokio::time::timeout(self.timeout.min(left), wait).await.ok()
    }

    fn enter(&self) -> Option<Place<'_>> {
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < self.most).then_some(waiting + 1)
            })
            .ok()
            .map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn queue(text: &str) -> Arc<Queue> {
        Arc::new(Queue::new(&toml::from_str(text).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_in_when_there_is_room() {
        let queue = queue("length = 10\ntimeout = '1s'");
        let room = Arc::new(AtomicU32::new(0));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (queue, room) = (Arc::clone(&queue), Arc::clone(&room));
                tokio::spawn(async move {
                    let take = || {
                        room.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
                            .ok()
                    };
                    queue.wait(Duration::from_secs(5), take).await.is_some()
                })
            })
            .collect();
        while queue.len() < 3 {
            tokio::task::yield_now().await;
        }
        // Told once, for two rooms: the first one tells the second.
        room.store(2, Ordering::Release);
        queue.room_made();
        let mut let_in = 0;
        for request in waiting {
            let_in += u32::from(request.await.unwrap());
        }
        assert_eq!(let_in, 2, "the third has waited too long");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_is_sent_away_at_once() {
        let queue = queue("length = 0\ntimeout = '1s'");
        let start = tokio::time::Instant::now();
        assert!(queue.wait(Duration::from_secs(5), || Some(())).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
