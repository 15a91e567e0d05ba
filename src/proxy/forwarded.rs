//! Whose word about the client is believed.
//!
//! `x-forwarded-for`, `-proto` and `-host` and `forwarded` (RFC 7239) are what
//! an earlier proxy says of the request. Anyone can write them, so they count
//! only from a peer that is configured as a trusted proxy; from all others they
//! are removed.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use pingora::http::RequestHeader;

use super::connection::Peer;
use super::look_alike::remove_where;

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

    /// Whose request it is that a trusted peer sent: going back through
    /// `x-forwarded-for`, the first address that is not itself trusted, since what
    /// stands before it anyone may have written. If all are trusted it is the first
    /// of them, and if one is no address, the proxy that wrote it down.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut nearest = peer;
        for field in headers.get_all(FOR).iter().rev() {
            for hop in field.as_bytes().rsplit(|b| *b == b',') {
                let Some(address) = hop_address(hop.trim_ascii()) else { return nearest };
                nearest = Some(address);
                if !self.contains(nearest) {
                    return nearest;
                }
            }
        }
        nearest
    }
}

/// An address of `x-forwarded-for`, with or without a port.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let with_port = text.parse::<SocketAddr>().ok().map(|address| address.ip());
        with_port.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
    })?;
    Some(address.to_canonical())
}

// === impl Forwarded ===

impl<'a> Forwarded<'a> {
    /// What is believed of a request with these fields, and whether it came over
    /// TLS.
    pub fn of(headers: &'a HeaderMap, trusted: bool, secure: bool) -> Self {
        Self { believed: trusted.then_some(headers), secure }
    }

    /// `x-forwarded-for`: the chain so far, then the peer.
    pub(super) fn for_value(self, peer: Option<&Peer>) -> Option<HeaderValue> {
        let mut earlier =
            self.believed.into_iter().flat_map(|headers| headers.get_all(FOR)).peekable();
        if earlier.peek().is_none() {
            return peer.map(|peer| peer.value.clone());
        }
        let mut chain = BytesMut::with_capacity(64);
        for value in earlier {
            chain.put_slice(value.as_bytes());
            chain.put_slice(b", ");
        }
        match peer {
            Some(peer) => chain.put_slice(peer.value.as_bytes()),
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

/// Removes what an untrusted peer says of the client, and what only a proxy says of
/// itself (`x-proxy-…`). A request whose [`Census`](super::census::Census) has no
/// [`claim`](super::census::Census::claim) makes none.
pub fn remove_claims(request: &mut RequestHeader) {
    for name in &CLAIMS {
        request.remove_header(name);
    }
    remove_where(request, |name| name.as_str().starts_with("x-proxy-"));
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
    fn the_client_is_the_last_whom_no_trusted_proxy_vouches_for() {
        let trusted = TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|n| n.parse().unwrap()));
        let client = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(FOR, HeaderValue::from_static(field));
            }
            trusted.client(peer("10.0.0.1"), &headers).unwrap().to_string()
        };
        for (fields, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.7"], "203.0.113.7"),
            // The first was there when 203.0.113.7 came.
            (&["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
            (&["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
            (&["192.0.2.1, 203.0.113.7, 10.9.9.9", "fd00::7"], "203.0.113.7"),
            (&["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
            (&["192.0.2.1, unknown, 10.2.2.2"], "10.2.2.2"),
            (&["192.0.2.1, "], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["203.0.113.7:4711"], "203.0.113.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, ::ffff:10.2.2.2"], "203.0.113.7"),
        ] {
            assert_eq!(client(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn every_claim_is_removed_and_nothing_else() {
        for name in CLAIMS.iter().map(HeaderName::as_str) {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for field in ["Accept", "X-Own", name] {
                request.append_header(field.to_owned(), "1").unwrap();
            }
            remove_claims(&mut request);
            let left: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
            assert_eq!(left, ["accept", "x-own"], "{name}");
        }
    }

    #[test]
    fn only_what_is_believed_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.append(FOR, HeaderValue::from_static("203.0.113.7"));
        headers.append(FOR, HeaderValue::from_static("198.51.100.2"));
        headers.insert(PROTO, HeaderValue::from_static("https"));
        let from = Peer::from(peer("10.0.0.1").unwrap());
        let believed = Forwarded::of(&headers, true, false);
        assert_eq!(believed.for_value(Some(&from)).unwrap(), "203.0.113.7, 198.51.100.2, 10.0.0.1");
        assert_eq!(believed.proto(), "https");
        let not = Forwarded::of(&headers, false, false);
        assert_eq!(not.for_value(Some(&from)).unwrap(), "10.0.0.1");
        assert_eq!(not.proto(), "http");
        assert_eq!(Forwarded::of(&headers, false, true).proto(), "https");
        let sent = HeaderValue::from_static("example.com");
        assert_eq!(not.host(Some(&sent)).unwrap(), "example.com");
    }
}
