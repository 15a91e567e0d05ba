//! How many connections are open, in all and from each address.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::config::Limits;
use crate::proxy::source::Source;

/// Counts connections. Its memory grows with the connections that are open, not
/// with the addresses that were ever seen.
#[derive(Clone)]
pub struct Connections(Arc<Counts>);

struct Counts {
    /// For how many there are descriptors.
    most: u32,
    total: AtomicU32,
    accepted: AtomicU64,
    /// As there were too many in all, or from one address.
    refused: [AtomicU64; 2],
    /// As they were refused or broken off, or took too long.
    handshakes_failed: [AtomicU64; 2],
    /// Several, so that threads seldom wait for each other.
    sources: [Mutex<HashMap<Source, u32>>; SHARDS],
    hasher: RandomState,
}

const SHARDS: usize = 16;

/// An open connection's place; it is free again when this is dropped.
#[must_use]
pub struct Place {
    counts: Arc<Counts>,
    source: Option<Source>,
}

/// Why no place was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many connections are open as may be.
    Total,
    /// As many are open from the address as may be.
    Address,
}

// === impl Connections ===

impl Connections {
    /// None yet, and never more than `most`, whatever the limits say.
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Counts {
            most,
            total: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            refused: Default::default(),
            handshakes_failed: Default::default(),
            sources: Default::default(),
            hasher: RandomState::new(),
        }))
    }

    /// A place for a connection. One without an address (exempt, or unknown) counts
    /// in the total alone.
    ///
    /// # Errors
    ///
    /// There is none ([`Full`]).
    pub fn enter(&self, address: Option<IpAddr>, limits: &Limits) -> Result<Place, Full> {
        let counts = &self.0;
        let before = counts.total.fetch_add(1, Relaxed);
        // From here on the drop of the place puts back what was counted.
        let mut place = Place { counts: Arc::clone(counts), source: None };
        if before >= self.most(limits.connections.get()) {
            counts.refused[0].fetch_add(1, Relaxed);
            return Err(Full::Total);
        }
        if let Some(source) = address.map(Source::of) {
            let mut sources = counts.shard(source).lock();
            let open = sources.entry(source).or_insert(0);
            if *open >= limits.connections_per_address.get() {
                counts.refused[1].fetch_add(1, Relaxed);
                return Err(Full::Address);
            }
            *open += 1;
            place.source = Some(source);
        }
        counts.accepted.fetch_add(1, Relaxed);
        Ok(place)
    }

    /// How many may be open where the limits allow so many.
    pub fn most(&self, allowed: u32) -> u32 {
        allowed.min(self.0.most)
    }

    /// A TLS handshake has failed; `in_time` if it was not because it took too long.
    pub fn handshake_failed(&self, in_time: bool) {
        self.0.handshakes_failed[usize::from(!in_time)].fetch_add(1, Relaxed);
    }

    /// How many handshakes have failed so far, by why.
    pub fn handshakes_failed(&self) -> [(&'static str, u64); 2] {
        let [failed, late] = &self.0.handshakes_failed;
        [("failed", failed.load(Relaxed)), ("timeout", late.load(Relaxed))]
    }

    /// How many are open.
    pub fn open(&self) -> u32 {
        self.0.total.load(Relaxed)
    }

    /// How many found a place so far.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// How many found no place so far.
    pub fn refused(&self) -> u64 {
        self.refused_by_reason().iter().map(|(_, count)| count).sum()
    }

    /// The same, by why.
    pub fn refused_by_reason(&self) -> [(&'static str, u64); 2] {
        let [total, address] = &self.0.refused;
        [("total", total.load(Relaxed)), ("address", address.load(Relaxed))]
    }
}

impl Counts {
    fn shard(&self, source: Source) -> &Mutex<HashMap<Source, u32>> {
        &self.sources[self.hasher.hash_one(source) as usize % SHARDS]
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.total.fetch_sub(1, Relaxed);
        let Some(source) = self.source else { return };
        if let Entry::Occupied(mut open) = self.counts.shard(source).lock().entry(source) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: u32, address: u32) -> Limits {
        toml::from_str(&format!("connections = {total}\nconnections_per_address = {address}"))
            .unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn sources(connections: &Connections) -> usize {
        connections.0.sources.iter().map(|shard| shard.lock().len()).sum()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends_and_nothing_is_kept() {
        let (connections, limits) = (Connections::new(u32::MAX), limits(3, 2));
        let places = [1, 2].map(|_| connections.enter(ip("192.0.2.1"), &limits).unwrap());
        assert_eq!(connections.enter(ip("::ffff:192.0.2.1"), &limits).err(), Some(Full::Address));
        let other = connections.enter(ip("192.0.2.2"), &limits).unwrap();
        assert_eq!(connections.enter(ip("192.0.2.3"), &limits).err(), Some(Full::Total));
        assert_eq!((connections.open(), connections.refused(), sources(&connections)), (3, 2, 2));
        drop(places);
        let again = connections.enter(ip("192.0.2.1"), &limits);
        assert!(again.is_ok());
        assert_eq!(connections.accepted(), 4);
        assert_eq!(connections.refused_by_reason(), [("total", 1), ("address", 1)]);
        assert_eq!([1, 3].map(|allowed| Connections::new(2).most(allowed)), [1, 2]);
        drop((again, other));
        assert_eq!((connections.open(), sources(&connections)), (0, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together() {
        let (connections, limits) = (Connections::new(u32::MAX), limits(10, 1));
        let _one = connections.enter(ip("2001:db8::1"), &limits).unwrap();
        assert_eq!(connections.enter(ip("2001:db8::ffff:2"), &limits).err(), Some(Full::Address));
        assert!(connections.enter(ip("2001:db8:0:1::1"), &limits).is_ok());
        let exempt = [1, 2].map(|_| connections.enter(None, &limits).unwrap());
        assert_eq!(exempt.len(), 2);
    }
}
