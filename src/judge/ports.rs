//! Free ports for the programs under test and the backends.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use parking_lot::Mutex;
use rand::RngExt;
use socket2::{Domain, Socket, Type};

/// Where to pick on a machine that does not say which ports it gives out by
/// itself.
const USUAL: RangeInclusive<u16> = 10_000..=32_000;

/// How many random ports are tried before it is an error.
const TRIES: usize = 1000;

/// The ports that this process has given out. Between the look and the bind of
/// the program that it is for, a port is free for all to see.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 that nobody uses and that this process has not given
/// out before.
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
    free_in(&outside_of(ephemeral()))
}

fn free_in(ranges: &[RangeInclusive<u16>]) -> io::Result<SocketAddr> {
    let count: usize = ranges.iter().map(RangeInclusive::len).sum();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..TRIES {
        let index = rand::rng().random_range(0..count.max(1));
        let Some(port) = ranges.iter().cloned().flatten().nth(index) else { break };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match probe(address) {
            Ok(()) if give(port, count) => return Ok(address),
            Ok(()) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Notes a port as given out; false if it was already.
fn give(port: u16, count: usize) -> bool {
    let mut given = GIVEN.lock();
    let given = given.get_or_insert_default();
    // Long before they run out, those of old are long done with.
    if given.len() > count / 2 {
        given.clear();
    }
    given.insert(port)
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

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_taken_port_is_not_given() {
        let taken = TcpListener::bind(free().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = free_in(&[port..=port]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_ranges_leave_the_ephemeral_ports_out() {
        assert_eq!(outside_of(None), [10_000..=32_000]);
        assert_eq!(outside_of(Some(32_768..=60_999)), [10_000..=32_767, 61_000..=65_534]);
        assert_eq!(outside_of(Some(1024..=60_999)), [61_000..=65_534]);
        assert_eq!(outside_of(Some(1024..=65_535)), [10_000..=32_000]);
    }
}
