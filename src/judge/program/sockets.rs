//! Who listens where on this machine.
//!
//! A connection would tell too, but the program under test would see it: it would
//! be in its log, and in what its checks count.

use std::net::SocketAddr;

use rustix::process::Pid;

/// The TCP addresses that are listened on at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// By the program under test, in order.
    pub program: Vec<SocketAddr>,
    /// By anybody else.
    pub others: Vec<SocketAddr>,
}

// === impl Listeners ===

impl Listeners {
    /// Looks now. The program is every descendant of `guard` or, where these
    /// cannot be told, every process of `group`.
    ///
    /// # Errors
    ///
    /// The system does not say who listens.
    pub fn now(guard: Pid, group: Pid) -> Result<Self, String> {
        // Asked in the kernel's own language the listeners cost a fifth of a
        // millisecond. `/proc/net/tcp`, which the other way reads, walks
        // through the table of all connections: 5 ms where it is large.
        #[cfg(target_os = "linux")]
        if let Ok(listening) = super::sock_diag::listening() {
            return Ok(Self::by_inode(&listening, guard));
        }
        Self::by_process(guard, group)
    }

    #[cfg(target_os = "linux")]
    fn by_inode(listening: &[(SocketAddr, u32)], guard: Pid) -> Self {
        let own = own_sockets(guard);
        let mut listeners = Self::default();
        for (address, inode) in listening {
            let place =
                if own.contains(inode) { &mut listeners.program } else { &mut listeners.others };
            place.push(*address);
        }
        listeners.in_order()
    }

    fn by_process(guard: Pid, group: Pid) -> Result<Self, String> {
        let own = super::descendants::descendants(guard);
        let is_own =
            |pid: Pid| own.contains(&pid) || rustix::process::getpgid(Some(pid)) == Ok(group);
        let mut found = Self::default();
        for listener in listeners::get_all().map_err(|error| error.to_string())? {
            if listener.protocol != listeners::Protocol::TCP
                || listener.state != listeners::SocketState::Listen
            {
                continue;
            }
            let pid = i32::try_from(listener.process.pid).ok().and_then(Pid::from_raw);
            let place =
                if pid.is_some_and(is_own) { &mut found.program } else { &mut found.others };
            place.push(listener.socket);
        }
        Ok(found.in_order())
    }

    fn in_order(mut self) -> Self {
        for addresses in [&mut self.program, &mut self.others] {
            addresses.sort_unstable();
            addresses.dedup();
        }
        self
    }
}

/// Every socket on which the program listens now: its address, and its number, which is the
/// same in two processes that listen on one socket. The program is every descendant of `guard`.
/// None where the system does not say it.
#[cfg(target_os = "linux")]
pub fn sockets(guard: Pid) -> Option<Vec<(SocketAddr, u32)>> {
    let mut listening = super::sock_diag::listening().ok()?;
    let own = own_sockets(guard);
    listening.retain(|(_, inode)| own.contains(inode));
    Some(listening)
}

/// The system does not say it.
#[cfg(not(target_os = "linux"))]
pub fn sockets(_: Pid) -> Option<Vec<(SocketAddr, u32)>> {
    None
}

/// Whether one who connects to `address` reaches a listener on `listener`: the
/// same address, or the wildcard of its port. (The one of IPv6 takes
/// IPv4 too unless told otherwise.)
pub fn serves(listener: SocketAddr, address: SocketAddr) -> bool {
    listener.port() == address.port()
        && (listener.ip().to_canonical() == address.ip().to_canonical()
            || listener.ip().is_unspecified())
}

/// The inodes of all sockets that the descendants of `guard` have open.
#[cfg(target_os = "linux")]
fn own_sockets(guard: Pid) -> Vec<u32> {
    super::descendants::descendants(guard).into_iter().flat_map(sockets_of).collect()
}

/// The inodes of all sockets that a process has open.
#[cfg(target_os = "linux")]
fn sockets_of(pid: Pid) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    #[test]
    fn both_ways_find_the_same_listeners() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let any = TcpListener::bind("0.0.0.0:0").unwrap();
        // A connection is no listener.
        let _connection = std::net::TcpStream::connect(v4.local_addr().unwrap()).unwrap();
        let mut wanted = vec![v4.local_addr().unwrap(), any.local_addr().unwrap()];
        if let Ok(v6) = TcpListener::bind("[::1]:0") {
            wanted.push(v6.local_addr().unwrap());
            std::mem::forget(v6);
        }
        // As if this test process were a guard with nobody to guard.
        let own = rustix::process::getpid();
        let elsewhere = Pid::from_raw(i32::MAX).unwrap();
        let start = Instant::now();
        let quick = Listeners::now(own, elsewhere).unwrap();
        println!("one look: {:?}", start.elapsed());
        let slow = Listeners::by_process(own, elsewhere).unwrap();
        for address in wanted {
            assert!(quick.others.contains(&address), "{address}: {quick:?}");
            assert!(slow.others.contains(&address), "{address}: {slow:?}");
        }
        let group = rustix::process::getpgrp();
        let own_by_group = Listeners::by_process(own, group).unwrap();
        assert!(own_by_group.program.contains(&v4.local_addr().unwrap()), "{own_by_group:?}");
    }

    #[test]
    fn the_wildcard_serves_every_address_of_its_port() {
        let cases = [
            ("127.0.0.1:80", true),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:81", false),
            ("127.0.0.2:80", false),
            ("[::1]:80", false),
            ("0.0.0.0:81", false),
        ];
        for (listener, expected) in cases {
            let serves = serves(listener.parse().unwrap(), "127.0.0.1:80".parse().unwrap());
            assert_eq!(serves, expected, "{listener}");
        }
    }
}
