//! Whose requests are counted together.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::proxy::source::Source;

/// What tells one client from another, in 128 bits.
pub type Key = (u64, u64);

/// Makes keys. Those of text depend on numbers that are drawn when it is made, so that
/// nobody can look for two texts of one key.
#[derive(Debug, Default)]
pub struct Keys(RandomState, RandomState);

// === impl Keys ===

impl Keys {
    /// The source of an address. Clients without an address are one.
    pub fn of_address(address: Option<IpAddr>) -> Key {
        match address.map(Source::of) {
            Some(Source::V4(address)) => (4, address.into()),
            Some(Source::V6(network)) => (6, network),
            None => (0, 0),
        }
    }

    /// A text.
    pub fn of_text(&self, text: &[u8]) -> Key {
        (self.0.hash_one(text), self.1.hash_one(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Key {
        Keys::of_address(Some(address.parse().unwrap()))
    }

    #[test]
    fn an_ipv4_client_is_its_address_and_an_ipv6_client_its_network() {
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        // The same bits in the two families.
        assert_ne!(key("0.0.0.1"), key("0:0:0:1::"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn texts_differ_and_their_keys_cannot_be_foreseen() {
        let (keys, others) = (Keys::default(), Keys::default());
        assert_eq!(keys.of_text(b"ann"), keys.of_text(b"ann"));
        assert_ne!(keys.of_text(b"ann"), keys.of_text(b"bob"));
        assert_ne!(keys.of_text(b"ann"), others.of_text(b"ann"));
    }
}
