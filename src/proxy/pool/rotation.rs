//! Who takes requests now, and in which order they are asked.
//!
//! A rotation is made anew when health, addresses, breakers or weights change,
//! and holds what choosing needs, prepared: the table of turns, or the ring of
//! the consistent hash.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Extensions;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::consistent::KetamaHashing;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::endpoint::{Endpoint, Refusal};
use super::turns::Turns;
use crate::config::Balance;

/// Who takes requests now.
pub(super) struct Rotation {
    /// For each backend of the pool, in the configuration's order, its addresses
    /// that take requests.
    members: Box<[Box<[Arc<Endpoint>]>]>,
    /// The backends that have one.
    alive: Box<[usize]>,
    choice: Choice,
    /// Addresses whose breakers are not closed: they take the requests for which nobody
    /// else is left.
    spare: Box<[Arc<Endpoint>]>,
}

/// How the first one to ask is chosen.
enum Choice {
    InTurn(Turns),
    Random(Turns),
    LeastRequests(Turns),
    Hash { ring: Arc<KetamaHashing>, addresses: HashMap<SocketAddr, Arc<Endpoint>> },
}

/// A backend that may take part, with its weight in tenths.
pub(super) struct Candidate {
    /// Its addresses that take requests.
    pub(super) endpoints: Box<[Arc<Endpoint>]>,
    /// Ten times its weight, less while it warms up.
    pub(super) weight: u64,
}

/// The counters of turns, which outlive a rotation: a backend that comes or goes
/// must not begin everybody's turns anew.
#[derive(Default)]
pub(super) struct Counters {
    pool: AtomicUsize,
    members: Box<[AtomicUsize]>,
}

/// What became of the search for an address.
pub(super) enum Found<T> {
    /// One took the request.
    Taken(T),
    /// There are some, and all have as many requests as they may have.
    Full,
    /// There is none that is left to try.
    Nobody,
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(members: usize) -> Self {
        Self {
            pool: AtomicUsize::new(0),
            members: (0..members).map(|_| AtomicUsize::new(0)).collect(),
        }
    }
}

// === impl Rotation ===

impl Rotation {
    /// `spare` are healthy addresses whose breakers are not closed, if they may be asked
    /// all the same where nobody else is left.
    pub(super) fn new(
        balance: Balance,
        candidates: Vec<Candidate>,
        spare: Vec<Arc<Endpoint>>,
    ) -> Self {
        let alive = (0..candidates.len()).filter(|i| !candidates[*i].endpoints.is_empty());
        let alive: Box<[usize]> = alive.collect();
        let turns = || {
            let weights: Vec<_> =
                alive.iter().map(|index| (*index as u16, candidates[*index].weight)).collect();
            Turns::new(&weights)
        };
        let choice = match balance {
            Balance::RoundRobin => Choice::InTurn(turns()),
            Balance::Random => Choice::Random(turns()),
            Balance::LeastRequests => Choice::LeastRequests(turns()),
            Balance::ConsistentHash => Self::ring(&candidates),
        };
        let members = candidates.into_iter().map(|candidate| candidate.endpoints).collect();
        Self { members, alive, choice, spare: spare.into() }
    }

    fn ring(candidates: &[Candidate]) -> Choice {
        let mut nodes = BTreeSet::new();
        let mut addresses = HashMap::new();
        for candidate in candidates {
            for endpoint in &candidate.endpoints {
                nodes.insert(Backend {
                    addr: PeerAddr::Inet(endpoint.address),
                    weight: candidate.weight.div_ceil(10).max(1) as usize,
                    ext: Extensions::new(),
                });
                addresses.insert(endpoint.address, Arc::clone(endpoint));
            }
        }
        Choice::Hash { ring: Arc::new(KetamaHashing::build(&nodes)), addresses }
    }

    /// The addresses of one backend, from the one whose turn it is; leaving out
    /// what was tried.
    pub(super) fn one_of<T>(
        &self,
        member: usize,
        counters: &Counters,
        tried: &[SocketAddr],
        take: &mut impl FnMut(&Arc<Endpoint>) -> Result<T, Refusal>,
    ) -> Found<T> {
        let endpoints = &self.members[member];
        let start = match endpoints.len() {
            0 => return Found::Nobody,
            1 => 0,
            several => counters.members[member].fetch_add(1, Ordering::Relaxed) % several,
        };
        let mut found = Found::Nobody;
        for endpoint in endpoints[start..].iter().chain(&endpoints[..start]) {
            if tried.contains(&endpoint.address) {
                continue;
            }
            match take(endpoint) {
                Ok(taken) => return Found::Taken(taken),
                Err(Refusal::Full) => found = Found::Full,
                Err(Refusal::Ejected | Refusal::Overtaken) => {}
            }
        }
        found
    }

    /// An address that its breaker leaves alone, leaving out what was tried: for a request
    /// that any backend may answer and that has nowhere else to go.
    pub(super) fn last_resort<T>(
        &self,
        counters: &Counters,
        tried: &[SocketAddr],
        take: impl Fn(&Arc<Endpoint>) -> Result<T, Refusal>,
    ) -> Found<T> {
        let start = match self.spare.len() {
            0 => return Found::Nobody,
            count => counters.pool.load(Ordering::Relaxed) % count,
        };
        let mut found = Found::Nobody;
        let all = self.spare[start..].iter().chain(&self.spare[..start]);
        for endpoint in all.filter(|endpoint| !tried.contains(&endpoint.address)) {
            match take(endpoint) {
                Ok(taken) => return Found::Taken(taken),
                Err(_) => found = Found::Full,
            }
        }
        found
    }

    /// Any address, from the one that is chosen; leaving out what was tried.
    /// Backends that were not tried come before further addresses of one that
    /// was.
    pub(super) fn any<T>(
        &self,
        key: &[u8],
        counters: &Counters,
        tried: &[SocketAddr],
        take: &mut impl FnMut(&Arc<Endpoint>) -> Result<T, Refusal>,
    ) -> Found<T> {
        let (first, second) = match &self.choice {
            // A retry takes a turn too: so the turns of a backend that has died
            // unnoticed are spread over the others.
            Choice::InTurn(turns) => (turns.next(&counters.pool), None),
            Choice::Random(turns) => (turns.drawn(rand::random()), None),
            Choice::LeastRequests(turns) => self.lighter_of_two(turns),
            Choice::Hash { ring, addresses } => {
                return hashed(ring, addresses, key, tried, take);
            }
        };
        let Some(first) = first else { return Found::Nobody };
        if tried.is_empty()
            && let Found::Taken(taken) = self.one_of(first, counters, tried, take)
        {
            return Found::Taken(taken);
        }
        let place = self.alive.iter().position(|index| *index == first).unwrap_or(0);
        let order = || {
            let others = self.alive[place..].iter().chain(&self.alive[..place]).copied();
            second.into_iter().chain(others.filter(move |index| Some(*index) != second))
        };
        let untouched =
            |index: &usize| !self.members[*index].iter().any(|e| tried.contains(&e.address));
        let mut found = Found::Nobody;
        for index in
            order().filter(|i| untouched(i)).chain(order().filter(|index| !untouched(index)))
        {
            match self.one_of(index, counters, tried, take) {
                Found::Taken(taken) => return Found::Taken(taken),
                Found::Full => found = Found::Full,
                Found::Nobody => {}
            }
        }
        found
    }

    /// Of two that are drawn by weight, the one with fewer requests first.
    fn lighter_of_two(&self, turns: &Turns) -> (Option<usize>, Option<usize>) {
        let Some(one) = turns.drawn(rand::random()) else { return (None, None) };
        // One that is drawn twice is no choice, so somebody else stands against it.
        let two = match turns.drawn(rand::random()) {
            Some(two) if two != one => two,
            _ => {
                let place = self.alive.iter().position(|index| *index == one).unwrap_or(0);
                let others = self.alive.len().saturating_sub(1).max(1);
                let step = 1 + rand::random::<u32>() as usize % others;
                self.alive[(place + step) % self.alive.len()]
            }
        };
        let load = |index: usize| -> u32 {
            let endpoints = &self.members[index];
            // By address: a backend with many of them bears more.
            endpoints.iter().map(|e| e.in_flight()).sum::<u32>() / endpoints.len().max(1) as u32
        };
        if load(two) < load(one) { (Some(two), Some(one)) } else { (Some(one), Some(two)) }
    }

    /// Whether [`Self::any`], [`Self::one_of`] or [`Self::last_resort`] would have
    /// somebody to ask.
    pub(super) fn has_untried(&self, member: Option<usize>, tried: &[SocketAddr]) -> bool {
        let untried = |of: &[Arc<Endpoint>]| of.iter().any(|e| !tried.contains(&e.address));
        match member {
            Some(index) => untried(&self.members[index]),
            None => untried(&self.spare) || self.alive.iter().any(|i| untried(&self.members[*i])),
        }
    }
}

/// The address of the key, then those that follow it on the ring.
fn hashed<T>(
    ring: &Arc<KetamaHashing>,
    addresses: &HashMap<SocketAddr, Arc<Endpoint>>,
    key: &[u8],
    tried: &[SocketAddr],
    take: &mut impl FnMut(&Arc<Endpoint>) -> Result<T, Refusal>,
) -> Found<T> {
    if addresses.is_empty() {
        return Found::Nobody;
    }
    let mut found = Found::Nobody;
    let mut refused: Vec<SocketAddr> = Vec::new();
    let mut nodes = ring.iter(key);
    // The ring goes on for ever and names each address many times.
    while refused.len() < addresses.len() {
        let Some(PeerAddr::Inet(address)) = nodes.next().map(|node| &node.addr) else { break };
        let address = *address;
        if refused.contains(&address) {
            continue;
        }
        refused.push(address);
        if tried.contains(&address) {
            continue;
        }
        let Some(endpoint) = addresses.get(&address) else { continue };
        match take(endpoint) {
            Ok(taken) => return Found::Taken(taken),
            Err(Refusal::Full) => found = Found::Full,
            Err(Refusal::Ejected | Refusal::Overtaken) => {}
        }
    }
    found
}
