//! What a check makes up: names, paths, payloads, orders. All of it comes from
//! the seed, so that a run can be had again and no answer can be guessed.

use std::ops::Range;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};

/// Seeded randomness for one check.
#[derive(Debug)]
pub struct Draw(Mutex<StdRng>);

impl Draw {
    /// Of its own for each check, so that one check's draws do not move another's.
    pub fn new(seed: u64, stage: &str, check: &str) -> Self {
        // FNV-1a: the same on every machine and in every version, which the
        // standard library's hasher does not promise.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in stage.bytes().chain(*b"/").chain(check.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(Mutex::new(StdRng::seed_from_u64(hash)))
    }

    /// A number of the range.
    pub fn number(&self, range: Range<u64>) -> u64 {
        self.0.lock().random_range(range)
    }

    /// A word of lower-case letters that nobody has written into a program.
    pub fn word(&self) -> String {
        let mut random = self.0.lock();
        let length = random.random_range(5..9);
        (0..length).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
    }

    /// A path of two words. It begins with `/anything`, which the lab backends
    /// echo, so that the same request can be sent by hand.
    pub fn path(&self) -> String {
        format!("/anything/{}/{}", self.word(), self.word())
    }

    /// Bytes of every kind.
    pub fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.lock().fill_bytes(&mut bytes);
        bytes
    }

    /// One of the items.
    ///
    /// # Panics
    ///
    /// Of nothing, nothing can be picked.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        &items[self.0.lock().random_range(0..items.len())]
    }

    /// Puts the items into another order.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        items.shuffle(&mut self.0.lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let draws = |seed, check| {
            let draw = Draw::new(seed, "01-first-proxy", check);
            (draw.path(), draw.bytes(8), draw.number(0..1_000_000))
        };
        assert_eq!(draws(7, "forwards"), draws(7, "forwards"));
        assert_ne!(draws(7, "forwards"), draws(8, "forwards"));
        assert_ne!(draws(7, "forwards"), draws(7, "parallel"));
    }
}
