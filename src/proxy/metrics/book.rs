//! What is counted by name, for as long as somebody may count.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Up to two names; the second is empty where one is enough.
type Key = [Box<str>; 2];

/// Numbers by name. They are kept by those who count; the book finds them again and
/// forgets those that nobody holds.
pub(super) struct Book<T>(Mutex<BTreeMap<Key, Weak<T>>>);

// === impl Book ===

impl<T> Default for Book<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Book<T> {
    /// The numbers of these names, made if nobody holds them.
    pub(super) fn get(&self, names: [&str; 2], make: impl FnOnce() -> T) -> Arc<T> {
        let key = names.map(Box::from);
        let mut entries = self.0.lock();
        if let Some(known) = entries.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        entries.retain(|_, numbers| numbers.strong_count() > 0);
        let new = Arc::new(make());
        entries.insert(key, Arc::downgrade(&new));
        new
    }

    /// All that somebody holds, in the order of their names.
    pub(super) fn live(&self) -> Vec<(Key, Arc<T>)> {
        let entries = self.0.lock();
        entries
            .iter()
            .filter_map(|(key, numbers)| Some((key.clone(), numbers.upgrade()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_again_while_they_are_held_and_forgotten_after() {
        let book = Book::default();
        let one = book.get(["a", "1"], || 5);
        assert!(Arc::ptr_eq(&one, &book.get(["a", "1"], || 6)));
        let other = book.get(["a", "2"], || 7);
        assert_eq!(book.live().len(), 2);
        drop(one);
        assert_eq!(book.live().into_iter().map(|(_, n)| *n).collect::<Vec<_>>(), [7]);
        assert_eq!(*book.get(["a", "1"], || 8), 8);
        drop(other);
        book.get(["b", ""], || 9);
        assert_eq!(book.0.lock().len(), 1, "what nobody holds takes no room");
    }
}
