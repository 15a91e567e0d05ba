//! Free ports for backends and for the programs that stand before them.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use parking_lot::Mutex;
use rand::RngExt;
use socket2::{Domain, Socket, Type};

/// Where to pick on a machine that does not say which ports it gives out by
/// itself.
const USUAL: RangeInclusive<u16> = 10_000..=32_000;

/// How many random ports are tried before it is an error.
const TRIES: usize = 1000;

/// How many of the ports given out last are claimed against other processes. Whoever got one
/// has bound it long before so many more are asked for.
const CLAIMED: usize = 64;

static GIVEN: Mutex<Given> = Mutex::new(Given::nothing());

/// The ports that a process has given out. Between the look and the bind of
/// the program that it is for, a port is free for all to see.
struct Given {
    /// The oldest first.
    ports: VecDeque<u16>,
    /// A UDP socket at the number of each of the last ports: it keeps nobody from TCP's port of
    /// that number, and tells others who look for one here that it is spoken for. It goes with
    /// the process, whatever ends that.
    claims: VecDeque<UdpSocket>,
}

/// A port of 127.0.0.1 that nobody uses, and that neither this process nor another that asks
/// here has been given shortly before.
///
/// It lies outside the kernel's ephemeral range. A port inside it may be taken
/// by any outgoing connection of the machine before the program binds it; and one who
/// connects to a port of that range on which nobody listens may be given that very port
/// as its own, and so be connected to itself.
///
/// # Errors
///
/// No free port was found, and why the last one was not.
pub fn free() -> io::Result<SocketAddr> {
    free_in(&GIVEN, &outside_of(ephemeral()))
}

fn free_in(given: &Mutex<Given>, ranges: &[RangeInclusive<u16>]) -> io::Result<SocketAddr> {
    let count: usize = ranges.iter().map(RangeInclusive::len).sum();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..TRIES {
        let index = rand::rng().random_range(0..count.max(1));
        let Some(port) = ranges.iter().cloned().flatten().nth(index) else { break };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Claimed before the look, or two could look at the same time.
        let claimed = UdpSocket::bind(address).and_then(|claim| probe(address).map(|()| claim));
        match claimed {
            Ok(claim) => {
                if given.lock().give(port, claim, count) {
                    return Ok(address);
                }
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Binds and lets go. Without `SO_REUSEADDR`, so that a port on which old
/// connections still linger counts as taken; without listening, so that
/// nobody sees a listener come and go.
fn probe(address: SocketAddr) -> io::Result<()> {
    // The wildcard, which a program may bind too, is refused where any address
    // of the machine has the port.
    let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    Socket::new(Domain::IPV4, Type::STREAM, None)?.bind(&wildcard.into())
}

/// The ports that the kernel gives to outgoing connections.
fn ephemeral() -> Option<RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = text.split_whitespace().map(str::parse);
    Some(ends.next()?.ok()?..=ends.next()?.ok()?)
}

/// The ports from 10000 on that are not ephemeral, or the usual ones where
/// these are too few to pick from.
fn outside_of(ephemeral: Option<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    let Some(ephemeral) = ephemeral else { return vec![USUAL] };
    let below = *USUAL.start()..=ephemeral.start().saturating_sub(1);
    let above = ephemeral.end().saturating_add(1)..=u16::MAX - 1;
    let ranges: Vec<_> = [below, above].into_iter().filter(|range| !range.is_empty()).collect();
    if ranges.iter().map(RangeInclusive::len).sum::<usize>() < TRIES { vec![USUAL] } else { ranges }
}

// === impl Given ===

impl Given {
    const fn nothing() -> Self {
        Self { ports: VecDeque::new(), claims: VecDeque::new() }
    }

    /// Notes a port as given out, of so many that there are; false if it was already.
    fn give(&mut self, port: u16, claim: UdpSocket, count: usize) -> bool {
        if self.ports.contains(&port) {
            return false;
        }
        self.ports.push_back(port);
        self.claims.push_back(claim);
        // Long before they run out, those of old are long done with.
        if self.ports.len() > count / 2 {
            self.ports.pop_front();
        }
        if self.claims.len() > CLAIMED {
            self.claims.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ports_are_free_all_different_and_not_ephemeral() {
        let ephemeral = ephemeral();
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let address = free().unwrap();
            assert!(seen.insert(address), "{address} twice");
            assert!(!ephemeral.clone().is_some_and(|range| range.contains(&address.port())));
        }
    }

    /// What two processes have been given of which neither knows what the other has.
    fn two() -> [Mutex<Given>; 2] {
        [(); 2].map(|()| Mutex::new(Given::nothing()))
    }

    #[test]
    fn a_taken_port_is_not_given() {
        let [one, other] = two();
        let taken = TcpListener::bind(free_in(&one, &outside_of(ephemeral())).unwrap()).unwrap();
        // It is not claimed any more, but listened on.
        drop(one);
        let port = taken.local_addr().unwrap().port();
        let error = free_in(&other, &[port..=port]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_another_process_was_given_is_not_given_though_it_does_not_listen_yet() {
        let [one, other] = two();
        let address = free_in(&one, &outside_of(ephemeral())).unwrap();
        let port = address.port();
        let error = free_in(&other, &[port..=port]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // And whoever was given it can listen there.
        TcpListener::bind(address).unwrap();
    }

    #[test]
    fn no_more_are_claimed_than_need_be_and_what_is_claimed_no_more_is_not_given_again() {
        let [given, _] = two();
        let ranges = outside_of(ephemeral());
        let ports: Vec<_> =
            (0..=CLAIMED).map(|_| free_in(&given, &ranges).unwrap().port()).collect();
        let mut given = given.lock();
        assert_eq!(given.claims.len(), CLAIMED);
        let claim = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!given.give(ports[0], claim(), 10_000));
        // But where so many were given since that they would run out.
        assert!(given.give(1, claim(), CLAIMED));
        assert!(given.give(ports[0], claim(), 10_000));
    }

    #[test]
    fn the_ranges_leave_the_ephemeral_ports_out() {
        assert_eq!(outside_of(None), [10_000..=32_000]);
        assert_eq!(outside_of(Some(32_768..=60_999)), [10_000..=32_767, 61_000..=65_534]);
        assert_eq!(outside_of(Some(1024..=60_999)), [61_000..=65_534]);
        assert_eq!(outside_of(Some(1024..=65_535)), [10_000..=32_000]);
    }
}
