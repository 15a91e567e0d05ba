//! What is known of a client, and of how many clients.

use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::gcra::{Gcra, Outcome};
use super::key::Key;

/// Where the counts of one policy are kept. Asked on the path of requests: one that
/// is far away answers later.
pub trait Store: Send + Sync {
    /// Counts a request of a client that comes `now`, if it has room.
    fn take(&self, gcra: &Gcra, key: Key, now: u64) -> impl Future<Output = Outcome> + Send;

    /// Whether a request would have room; counts nothing.
    fn look(&self, gcra: &Gcra, key: Key, now: u64) -> impl Future<Output = Outcome> + Send;
}

/// Counts in the memory of this process, of a bounded number of clients.
///
/// The table has at least twice as many slots as there may be clients. A client is kept in one
/// of 16 that follow from its key, until the rate that it used up has passed: then
/// nothing is left to know, and the slot is free without anybody's sweeping it. Where
/// all 16 are taken, the client that has used up the least is forgotten, and so is
/// let send a burst again; one that is at its limit is the last to be.
#[derive(Debug)]
pub struct Memory {
    placing: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// Locked apart from the others.
#[derive(Debug)]
struct Shard {
    sets: Box<[Set]>,
}

/// The slots that are looked through together.
type Set = [Slot; WAYS];

/// A client, and up to when it has used up the rate. A time in the past is no client;
/// a table of zeros is one of empty slots, whose memory the system provides when they
/// are used.
type Slot = (Key, u64);

const SHARDS: usize = 16;
const WAYS: usize = 8;

/// Slots for each client, so that hardly ever all are taken that one could be in.
const ROOM: usize = 2;

/// Sets of each shard beyond that: few clients spread less evenly than many.
const SPARE: usize = 4;

// === impl Memory ===

impl Memory {
    /// Room for so many clients.
    pub fn new(clients: usize) -> Self {
        let sets = (clients * ROOM).div_ceil(SHARDS * WAYS) + SPARE;
        let shard = || Mutex::new(Shard { sets: vec![Set::default(); sets].into() });
        let shards = std::iter::repeat_with(shard).take(SHARDS);
        Self { placing: RandomState::new(), shards: shards.collect() }
    }

    /// The shard of a client, and two numbers that are as good as drawn.
    fn place(&self, key: Key) -> (&Mutex<Shard>, [u32; 2]) {
        let place = self.placing.hash_one(key);
        // 28 bits for each place in the shard, which has fewer sets than that.
        let [one, other] = [place >> 4, place >> 32].map(|bits| (bits as u32) << 4);
        (&self.shards[place as usize % SHARDS], [one, other])
    }

    fn take_now(&self, gcra: &Gcra, key: Key, now: u64) -> Outcome {
        let (shard, places) = self.place(key);
        let mut shard = shard.lock();
        let slot = shard.slot(key, places, now);
        let used = if slot.0 == key { slot.1 } else { 0 };
        let outcome = gcra.ask(used, now);
        if let Outcome::Room { until } = outcome {
            *slot = (key, until);
        }
        outcome
    }

    fn look_now(&self, gcra: &Gcra, key: Key, now: u64) -> Outcome {
        let (shard, places) = self.place(key);
        let mut shard = shard.lock();
        let slot = shard.slot(key, places, now);
        gcra.ask(if slot.0 == key { slot.1 } else { 0 }, now)
    }
}

impl Store for Memory {
    async fn take(&self, gcra: &Gcra, key: Key, now: u64) -> Outcome {
        self.take_now(gcra, key, now)
    }

    async fn look(&self, gcra: &Gcra, key: Key, now: u64) -> Outcome {
        self.look_now(gcra, key, now)
    }
}

// === impl Shard ===

impl Shard {
    /// The client's slot, or the one that it should have: a free one in that of its
    /// sets that has more of them, else that of the client who has used up the least.
    fn slot(&mut self, key: Key, places: [u32; 2], now: u64) -> &mut Slot {
        let sets = places.map(|place| ((u64::from(place) * self.sets.len() as u64) >> 32) as usize);
        let mut best: Option<(usize, usize)> = None;
        let mut most_free = 0;
        let mut least = u64::MAX;
        for set in sets {
            let mut free = 0;
            let mut here = (0, u64::MAX);
            for (way, (other, until)) in self.sets[set].iter().enumerate() {
                if *other == key {
                    return &mut self.sets[set][way];
                }
                free += usize::from(*until <= now);
                if *until < here.1 {
                    here = (way, *until);
                }
            }
            if best.is_none() || free > most_free || (most_free == 0 && here.1 < least) {
                (best, most_free, least) = (Some((set, here.0)), free, here.1);
            }
        }
        let (set, way) = best.unwrap_or_default();
        &mut self.sets[set][way]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn gcra(requests: u32, per: &str, burst: u32) -> Gcra {
        let text = format!("requests = {requests}\nper = '{per}'\nburst = {burst}");
        Gcra::new(&toml::from_str(&text).unwrap())
    }

    fn has_room(outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Room { .. })
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn as_many_clients_as_promised_are_all_known() {
        // Each table places them in another way.
        let few = std::iter::repeat_n([1, 20, 50, 100, 150, 200, 300, 500], 300).flatten();
        for clients in few.chain([1000, 100_000]) {
            let (store, gcra) = (Memory::new(clients), gcra(1, "1s", 1));
            let keys = || (0..clients as u64).map(|client| (4, client * 7919));
            assert!(keys().all(|key| has_room(store.take_now(&gcra, key, 1))));
            let known = keys().filter(|key| !has_room(store.take_now(&gcra, *key, 2))).count();
            assert_eq!(known, clients, "of {clients}");
        }
    }

    #[test]
    fn whoever_has_used_up_the_most_is_forgotten_last_and_memory_does_not_grow() {
        let (store, gcra) = (Memory::new(1000), gcra(1, "1s", 10));
        let slots = |store: &Memory| -> usize {
            store.shards.iter().map(|shard| shard.lock().sets.len() * WAYS).sum()
        };
        let before = slots(&store);
        let heavy = |client| (1, client);
        for client in 0..50 {
            assert!((0..10).all(|_| has_room(store.take_now(&gcra, heavy(client), 1))));
        }
        for passer_by in 0..1_000_000 {
            assert!(has_room(store.take_now(&gcra, (4, passer_by), 2)));
        }
        for client in 0..50 {
            assert!(!has_room(store.take_now(&gcra, heavy(client), 3)), "{client}");
        }
        assert_eq!(slots(&store), before);
    }

    #[test]
    fn a_look_counts_nothing() {
        let (store, gcra) = (Memory::new(10), gcra(1, "1s", 2));
        for _ in 0..10 {
            assert!(has_room(store.look_now(&gcra, (4, 1), 1)));
        }
        assert_eq!([0; 3].map(|_| has_room(store.take_now(&gcra, (4, 1), 1))), [true, true, false]);
        assert!(!has_room(store.look_now(&gcra, (4, 1), 1)));
        assert!(has_room(store.look_now(&gcra, (4, 1), 1 + SECOND)));
    }

    /// Threads read a clock that another moves on, and so come with times that are a
    /// little old and out of order.
    #[test]
    fn however_many_ask_at_once_no_more_go_through_than_may() {
        for (requests, burst) in [(1_000_000, 1), (100_000, 7), (500_000, 1000)] {
            let (store, gcra) = (Memory::new(100), gcra(requests, "1s", burst));
            let interval = SECOND / u64::from(requests);
            let clock = AtomicU64::new(SECOND);
            let through = [const { AtomicU64::new(0) }; 3];
            std::thread::scope(|scope| {
                for thread in 0..8_u64 {
                    let (store, clock, through) = (&store, &clock, &through);
                    scope.spawn(move || {
                        for turn in 0..30_000_u64 {
                            let client = (thread + turn) % 3;
                            let now = clock.load(Ordering::SeqCst);
                            if has_room(store.take_now(&gcra, (4, client), now)) {
                                through[client as usize].fetch_add(1, Ordering::SeqCst);
                            }
                            clock.fetch_add(turn % 13, Ordering::SeqCst);
                        }
                    });
                }
            });
            let passed = clock.load(Ordering::SeqCst) - SECOND;
            let may = u64::from(burst) + passed / interval;
            for through in &through {
                let through = through.load(Ordering::SeqCst);
                assert!(through <= may, "{through} of {may}");
                // They asked far more often than that, so most of it was used.
                assert!(through * 10 >= may * 9, "{through} of {may}");
            }
        }
    }

    proptest! {
        /// Against a map that holds every client.
        #[test]
        fn each_client_is_counted_alone(
            asked in prop::collection::vec((0_u64..40, 0_u64..SECOND), 1..400),
        ) {
            let (store, gcra) = (Memory::new(100), gcra(2, "1s", 3));
            let mut model: HashMap<u64, u64> = HashMap::new();
            let mut now = 1;
            for (client, pause) in asked {
                now += pause / 16;
                let used = model.entry(client).or_default();
                let expected = gcra.ask(*used, now);
                if let Outcome::Room { until } = expected {
                    *used = until;
                }
                prop_assert_eq!(store.look_now(&gcra, (4, client), now), expected);
                prop_assert_eq!(store.take_now(&gcra, (4, client), now), expected);
            }
        }
    }
}
