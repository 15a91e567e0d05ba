//! Which clients may come, by their addresses.
//!
//! The networks of a policy become ranges of addresses when the configuration is
//! read, so that a request only looks one up, however many networks there are.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::metrics::policy::Decisions;
use crate::config;

/// Which clients may come.
#[derive(Debug)]
pub struct Access {
    v4: Ranges,
    v6: Ranges,
    decisions: Option<Arc<Decisions>>,
}

/// Where ranges of addresses begin, in order, and whether their clients may come. A
/// range ends where the next one begins; the first begins at 0.
#[derive(Debug)]
struct Ranges(Box<[(u128, bool)]>);

// === impl Access ===

impl Access {
    /// Prepares a policy, whose decisions are counted there, if they are.
    pub fn new(written: &config::Access, decisions: Option<Arc<Decisions>>) -> Self {
        let listed = |networks: &[config::Network], allowed| -> Vec<(IpNet, bool)> {
            networks.iter().map(|network| (network.plain(), allowed)).collect()
        };
        let mut networks = listed(&written.allow, true);
        networks.extend(listed(&written.deny, false));
        let of_family = |v4: bool| {
            let family = networks.iter().filter(|(network, _)| network.addr().is_ipv4() == v4);
            let family = family.map(|(network, allowed)| {
                (number(network.network()), number(network.broadcast()), *allowed)
            });
            Ranges::new(family.collect(), written.allow.is_empty())
        };
        Self { v4: of_family(true), v6: of_family(false), decisions }
    }

    /// Decides whether a client may come, and counts it.
    pub fn admits(&self, client: Option<IpAddr>) -> bool {
        let may = self.allows(client);
        if let Some(decisions) = &self.decisions {
            decisions.decided(may);
        }
        may
    }

    /// Whether a client may come; one without an address may not. An IPv4 client is
    /// one, over whichever socket it came.
    fn allows(&self, client: Option<IpAddr>) -> bool {
        match client.map(|client| client.to_canonical()) {
            Some(client @ IpAddr::V4(_)) => self.v4.allow(number(client)),
            Some(client @ IpAddr::V6(_)) => self.v6.allow(number(client)),
            None => false,
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

// === impl Ranges ===

impl Ranges {
    /// Two networks are apart, or one is inside the other and then more specific: it
    /// interrupts the range of the outer one, which goes on behind it.
    fn new(mut networks: Vec<(u128, u128, bool)>, others: bool) -> Self {
        // An outer network comes before those inside it.
        networks.sort_by_key(|(first, last, _)| (*first, std::cmp::Reverse(*last)));
        let mut ranges = vec![(0, others)];
        let mut around: Vec<(u128, bool)> = Vec::new();
        for (first, last, allowed) in networks {
            close(&mut ranges, &mut around, others, |end| end < first);
            ranges.push((first, allowed));
            around.push((last, allowed));
        }
        close(&mut ranges, &mut around, others, |_| true);
        // Where several begin at the same address, the last is the innermost.
        ranges.reverse();
        ranges.dedup_by_key(|(first, _)| *first);
        ranges.reverse();
        Self(ranges.into())
    }

    fn allow(&self, address: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after.checked_sub(1).is_some_and(|range| self.0[range].1)
    }
}

/// Goes on with what is around those networks that have ended.
fn close(
    ranges: &mut Vec<(u128, bool)>,
    around: &mut Vec<(u128, bool)>,
    others: bool,
    has_ended: impl Fn(u128) -> bool,
) {
    while let Some((end, _)) = around.pop_if(|(end, _)| has_ended(*end)) {
        let outer = around.last().map_or(others, |(_, allowed)| *allowed);
        // Behind the last address there is none.
        ranges.extend(end.checked_add(1).map(|next| (next, outer)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access(text: &str) -> Access {
        Access::new(&toml::from_str(text).unwrap(), None)
    }

    fn check(text: &str, expected: &[(&str, bool)]) {
        let access = access(text);
        for (client, may) in expected {
            assert_eq!(access.allows(Some(client.parse().unwrap())), *may, "{text}: {client}");
        }
    }

    #[test]
    fn the_most_specific_network_decides_whichever_list_it_is_in() {
        check(
            "allow = ['10.0.0.0/8', '10.1.2.3']\ndeny = ['10.1.0.0/16', '0.0.0.0/0']",
            &[
                ("10.0.0.1", true),
                ("10.1.0.0", false),
                ("10.1.2.2", false),
                ("10.1.2.3", true),
                ("10.1.2.4", false),
                ("10.1.255.255", false),
                ("10.2.0.0", true),
                ("10.255.255.255", true),
                ("11.0.0.0", false),
                ("9.255.255.255", false),
            ],
        );
    }

    #[test]
    fn whoever_is_in_no_list_may_come_unless_some_are_allowed() {
        check(
            "deny = ['192.0.2.0/24']",
            &[("192.0.2.7", false), ("192.0.3.0", true), ("::1", true)],
        );
        check(
            "allow = ['192.0.2.0/24']",
            &[("192.0.2.7", true), ("192.0.3.0", false), ("::1", false)],
        );
        assert!(!access("deny = ['192.0.2.0/24']").allows(None));
    }

    #[test]
    fn all_of_a_family_is_written_as_a_network_of_length_0() {
        check(
            "deny = ['0.0.0.0/0']",
            &[("255.255.255.255", false), ("0.0.0.0", false), ("::1", true)],
        );
        let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check("deny = ['::/0']", &[("::", false), (most, false), ("127.0.0.1", true)]);
        check(
            "deny = ['::/0']\nallow = ['2001:db8::/32']",
            &[("2001:db8::1", true), (most, false)],
        );
    }

    #[test]
    fn an_ipv4_client_is_one_in_either_form_and_so_is_a_network() {
        check(
            "deny = ['192.0.2.0/24']",
            &[("::ffff:192.0.2.7", false), ("::ffff:192.0.3.7", true)],
        );
        check("deny = ['::ffff:192.0.2.0/120']", &[("192.0.2.7", false), ("192.0.3.7", true)]);
        check("deny = ['192.0.2.77/24']", &[("192.0.2.7", false)]);
    }

    proptest! {
        /// Against a search for the longest network that the client is in.
        #[test]
        fn ranges_say_what_networks_say(
            networks in prop::collection::vec((any::<u32>(), 0..=32_u8, any::<bool>()), 1..40),
            clients in prop::collection::vec(any::<u32>(), 40),
        ) {
            let mut written = config::Access::default();
            for (address, length, allowed) in &networks {
                // Few high bits, so that many are inside each other.
                let address = std::net::Ipv4Addr::from(address & 0xc0c0_c0ff);
                let network = config::Network(IpNet::new(address.into(), *length).unwrap().trunc());
                if written.allow.contains(&network) || written.deny.contains(&network) {
                    continue;
                }
                if *allowed { written.allow.push(network) } else { written.deny.push(network) }
            }
            let all = written.allow.iter().map(|n| (n, true))
                .chain(written.deny.iter().map(|n| (n, false)));
            let all: Vec<_> = all.collect();
            let access = Access::new(&written, None);
            let ends = all.iter().flat_map(|(n, _)| [n.0.network(), n.0.broadcast()]);
            let near = ends.flat_map(|ip| {
                let number = number(ip) as u32;
                [number, number.wrapping_add(1), number.wrapping_sub(1)]
            });
            for client in clients.into_iter().chain(near) {
                let client = IpAddr::V4(client.into());
                let fits = all.iter().filter(|(network, _)| network.0.contains(&client));
                let longest = fits.max_by_key(|(network, _)| network.0.prefix_len());
                let expected = longest.map_or(written.allow.is_empty(), |(_, allowed)| *allowed);
                prop_assert_eq!(access.allows(Some(client)), expected, "{}", client);
            }
        }
    }
}
