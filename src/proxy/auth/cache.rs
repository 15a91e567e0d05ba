//! What was found right a moment ago is not verified again.
//!
//! Only successes are kept, so nobody can fill the cache who cannot log in. A
//! credential itself is never kept: its key is a hash that is keyed with bytes which
//! the process drew at its start, so neither a dump of the memory of another process
//! nor a table of hashes says anything of it, and how long a look-up takes says
//! nothing of what is kept.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// The keyed hash of something secret.
pub type Digest = [u8; 32];

/// Hashes with the key of the process.
///
/// The key fills one block of SHA-256 and comes first. What is hashed is not shown to
/// anybody, so that a hash can be extended gains nobody anything.
#[derive(Clone)]
pub struct KeyedHash(Sha256);

/// What was found right, by the keyed hash of what showed it; bounded in number and
/// time.
pub struct Cache<T> {
    shards: Box<[Shard<T>]>,
    keep: Duration,
}

/// What is kept of the digests that share a lock.
type Shard<T> = Mutex<LruCache<Digest, Kept<T>>>;

struct Kept<T> {
    value: T,
    until: Instant,
}

/// How many requests can look at the same time; a power of two.
const SHARDS: usize = 16;

// === impl KeyedHash ===

impl KeyedHash {
    /// Begins a hash.
    pub fn begin() -> Self {
        static KEYED: LazyLock<Sha256> = LazyLock::new(|| {
            let mut key = [0u8; 64];
            rand::Rng::fill_bytes(&mut rand::rng(), &mut key);
            Sha256::new_with_prefix(key)
        });
        Self(KEYED.clone())
    }

    /// Adds a part. Its length is a part too, so that two parts are never taken for
    /// others that are written the same.
    #[must_use]
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The hash.
    pub fn end(self) -> Digest {
        self.0.finalize().into()
    }
}

// === impl Cache ===

impl<T: Clone> Cache<T> {
    /// Keeps at most about `size` values, each no longer than `keep`.
    pub fn new(size: usize, keep: Duration) -> Self {
        let shards = if size < 8 * SHARDS { 1 } else { SHARDS };
        let each = NonZeroUsize::new(size.div_ceil(shards)).unwrap_or(NonZeroUsize::MIN);
        let shard = |_| Mutex::new(LruCache::new(each));
        Self { shards: (0..shards).map(shard).collect(), keep }
    }

    /// What is kept, if it still holds.
    pub fn get(&self, digest: &Digest) -> Option<T> {
        let mut shard = self.shard(digest).lock();
        let kept = shard.get(digest)?;
        if Instant::now() < kept.until {
            return Some(kept.value.clone());
        }
        shard.pop(digest);
        None
    }

    /// Keeps a value, which holds for so long at most.
    pub fn put(&self, digest: Digest, value: T, holds: Duration) {
        let until = Instant::now() + self.keep.min(holds);
        self.shard(&digest).lock().put(digest, Kept { value, until });
    }

    fn shard(&self, digest: &Digest) -> &Shard<T> {
        &self.shards[usize::from(digest[0]) % self.shards.len()]
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&str]) -> Digest {
        parts.iter().fold(KeyedHash::begin(), |hash, part| hash.with(part.as_bytes())).end()
    }

    #[test]
    fn parts_are_told_apart_from_others_that_are_written_the_same() {
        assert_eq!(digest(&["user", "password"]), digest(&["user", "password"]));
        assert_ne!(digest(&["user", "password"]), digest(&["userp", "assword"]));
        assert_ne!(digest(&["user"]), digest(&["user", ""]));
    }

    #[test]
    fn what_no_longer_holds_is_gone() {
        let cache = Cache::new(10, Duration::from_secs(60));
        cache.put(digest(&["a"]), 1, Duration::from_secs(60));
        cache.put(digest(&["b"]), 2, Duration::ZERO);
        assert_eq!(cache.get(&digest(&["a"])), Some(1));
        assert_eq!(cache.get(&digest(&["b"])), None);
        let short = Cache::new(10, Duration::ZERO);
        short.put(digest(&["a"]), 1, Duration::MAX);
        assert_eq!(short.get(&digest(&["a"])), None);
    }

    #[test]
    fn no_more_is_kept_than_was_agreed() {
        for size in [1, 100, 1000] {
            let cache = Cache::new(size, Duration::from_secs(60));
            for number in 0..5000 {
                cache.put(digest(&[&number.to_string()]), number, Duration::MAX);
            }
            assert!(cache.len() <= size.next_multiple_of(SHARDS), "{size}: {}", cache.len());
        }
    }
}
