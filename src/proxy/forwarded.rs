//! Whose word about the client is believed.
//!
//! `x-forwarded-for`, `-proto` and `-host` and `forwarded` (RFC 7239) are what
//! an earlier proxy says of the request. Anyone can write them, so they count
//! only from a peer that is configured as a trusted proxy; from all others they
//! are removed.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use pingora::http::RequestHeader;

use super::headers::ip_value;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Every field by which a proxy speaks of the client.
const CLAIMS: [HeaderName; 7] = [
    http::header::FORWARDED,
    FOR,
    PROTO,
    HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];

/// The peers that are believed.
pub struct TrustedProxies(Box<[IpNet]>);

/// What is believed of the path that a request came: the fields of a trusted
/// proxy, or none.
#[derive(Clone, Copy)]
pub struct Forwarded<'a> {
    believed: Option<&'a HeaderMap>,
    secure: bool,
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Prepares the configured networks.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether the peer is believed. An IPv4 peer on an IPv6 socket counts as
    /// IPv4.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        !self.0.is_empty()
            && peer.is_some_and(|ip| {
                let ip = ip.to_canonical();
                self.0.iter().any(|network| network.contains(&ip))
            })
    }
}

// === impl Forwarded ===

impl<'a> Forwarded<'a> {
    /// What is believed of a request with these fields, and whether it came over
    /// TLS.
    pub fn of(headers: &'a HeaderMap, trusted: bool, secure: bool) -> Self {
        Self { believed: trusted.then_some(headers), secure }
    }

    /// `x-forwarded-for`: the chain so far, then the peer.
    pub(super) fn for_value(self, peer: Option<IpAddr>) -> Option<HeaderValue> {
        let mut earlier =
            self.believed.into_iter().flat_map(|headers| headers.get_all(FOR)).peekable();
        let peer = peer.map(|ip| ip.to_canonical());
        if earlier.peek().is_none() {
            return peer.map(ip_value);
        }
        let mut chain = BytesMut::with_capacity(64);
        for value in earlier {
            chain.put_slice(value.as_bytes());
            chain.put_slice(b", ");
        }
        match peer {
            Some(peer) => chain.put_slice(peer.to_string().as_bytes()),
            None => chain.put_slice(b"unknown"),
        }
        HeaderValue::from_maybe_shared(chain.freeze()).ok()
    }

    /// `x-forwarded-proto`.
    pub(super) fn proto(self) -> HeaderValue {
        let own = if self.secure { "https" } else { "http" };
        self.claimed(PROTO).cloned().unwrap_or_else(|| HeaderValue::from_static(own))
    }

    /// `x-forwarded-host`.
    pub(super) fn host(self, sent: Option<&HeaderValue>) -> Option<HeaderValue> {
        self.claimed(HOST).or(sent).cloned()
    }

    fn claimed(self, name: HeaderName) -> Option<&'a HeaderValue> {
        self.believed?.get(name)
    }
}

/// Removes what an untrusted peer says of the client.
pub fn remove_claims(request: &mut RequestHeader) {
    for name in &CLAIMS {
        request.remove_header(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_network_contains_its_addresses_in_either_form() {
        let trusted = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
        assert!(trusted.contains(peer("10.1.2.3")));
        assert!(trusted.contains(peer("::ffff:10.1.2.3")));
        assert!(!trusted.contains(peer("11.0.0.1")));
        assert!(!trusted.contains(None));
    }

    #[test]
    fn only_what_is_believed_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.append(FOR, HeaderValue::from_static("203.0.113.7"));
        headers.append(FOR, HeaderValue::from_static("198.51.100.2"));
        headers.insert(PROTO, HeaderValue::from_static("https"));
        let believed = Forwarded::of(&headers, true, false);
        assert_eq!(
            believed.for_value(peer("10.0.0.1")).unwrap(),
            "203.0.113.7, 198.51.100.2, 10.0.0.1"
        );
        assert_eq!(believed.proto(), "https");
        let not = Forwarded::of(&headers, false, false);
        assert_eq!(not.for_value(peer("10.0.0.1")).unwrap(), "10.0.0.1");
        assert_eq!(not.proto(), "http");
        assert_eq!(Forwarded::of(&headers, false, true).proto(), "https");
        let sent = HeaderValue::from_static("example.com");
        assert_eq!(not.host(Some(&sent)).unwrap(), "example.com");
    }
}
