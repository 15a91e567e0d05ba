//! The log that the backends of a scene share, and how to wait for what will
//! stand in it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::log::{ConnectionId, Entry, Log};

/// A handle to one [`Log`]; its clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Book {
    log: Log,
    connections: u64,
}

/// Where an entry stands, to update it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

// === impl Recorder ===

impl Default for Recorder {
    fn default() -> Self {
        let (changes, _) = watch::channel(());
        Self { shared: Arc::new(Shared { book: Mutex::default(), changes }) }
    }
}

impl Recorder {
    /// A recorder with an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The log as it is now.
    pub fn log(&self) -> Log {
        self.read(Log::clone)
    }

    /// Reads something in the log as it is now. Nothing is recorded while
    /// `reader` runs, and it must not call this recorder.
    pub fn read<T>(&self, reader: impl FnOnce(&Log) -> T) -> T {
        reader(&self.shared.book.lock().log)
    }

    /// Waits until `predicate` finds what it looks for in the log, or until the
    /// deadline. It is asked at once, at each change, and at the deadline.
    pub async fn wait_for<T>(
        &self,
        deadline: Instant,
        mut predicate: impl FnMut(&Log) -> Option<T>,
    ) -> Option<T> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = self.read(&mut predicate) {
                return Some(found);
            }
            let changed = tokio::time::timeout_at(deadline.into(), changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return self.read(predicate);
            }
        }
    }

    pub(super) fn new_connection(&self) -> ConnectionId {
        let mut book = self.shared.book.lock();
        book.connections += 1;
        ConnectionId(book.connections)
    }

    pub(super) fn enter(&self, entry: Entry) -> Place {
        let place = {
            let mut book = self.shared.book.lock();
            book.log.entries.push(entry);
            Place(book.log.entries.len() - 1)
        };
        self.shared.changes.send_replace(());
        place
    }

    pub(super) fn update(&self, Place(index): Place, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.shared.book.lock().log.entries.get_mut(index) {
            change(entry);
        }
        self.shared.changes.send_replace(());
    }
}
