//! Where a backend is: `HOST:PORT`, and the flag form `NAME=HOST:PORT`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

use super::written::written_as_string;
use super::{Backend, BackendName, Invalid};

/// A host, by name or IP address, and a port from 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

/// What `--backends` takes for one backend: `HOST:PORT` or `NAME=HOST:PORT`.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSpec(Backend);

written_as_string!(HostPort, "HostPort", "A DNS name or IP address, and a port", "example.com:80");

// === impl HostPort ===

impl HostPort {
    /// The IP address, if the host is one and needs no resolving.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        }
    }

    /// The DNS name, if the host is one.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| {
            Invalid(format!(
                "\"{text}\" is no address ({why}): write example.com:80, 10.0.0.1:80 or [::1]:80"
            ))
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("no port"))?;
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 && port.to_string().len() == text.len() - host.len() - 1 => port,
            _ => return Err(invalid("the port is not a number from 1 to 65535")),
        };
        let host = if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(|| invalid("']' is missing"))?;
            Host::Ip(IpAddr::V6(inner.parse().map_err(|_| invalid("no IPv6 address"))?))
        } else if let Ok(ip) = host.parse() {
            Host::Ip(IpAddr::V4(ip))
        } else if host.contains(':') {
            return Err(invalid("an IPv6 address is written in [ ]"));
        } else {
            let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let labels = host.strip_suffix('.').unwrap_or(host);
            if labels.len() > 253
                || labels
                    .split('.')
                    .any(|l| l.is_empty() || l.len() > 63 || !l.bytes().all(letters))
            {
                return Err(invalid("the host is neither a DNS name nor an IP address"));
            }
            Host::Name(host.to_ascii_lowercase())
        };
        Ok(Self { host, port })
    }
}

impl TryFrom<String> for HostPort {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(ip) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

// === impl BackendSpec ===

impl BackendSpec {
    /// The backends that the specs of one `--backends` mean together.
    pub fn backends(specs: Vec<Self>) -> Vec<Backend> {
        let mut backends: Vec<_> = specs.into_iter().map(|Self(backend)| backend).collect();
        name_by_place(&mut backends);
        backends
    }
}

/// Gives a backend that is known by a DNS name alone that name, if no other
/// backend has it too. `localhost` is a place, not a name: clients on the same
/// machine send it as `Host`, and they mean the load balancer.
pub(super) fn name_by_place(backends: &mut [Backend]) {
    let places: Vec<_> = backends
        .iter()
        .map(|backend| match backend.name {
            // A `Host` is looked up without its last dot.
            None => backend.address.name().map(|name| name.trim_end_matches('.').to_owned()),
            Some(_) => None,
        })
        .collect();
    for (backend, place) in backends.iter_mut().zip(&places) {
        if let Some(place) = place
            && place != "localhost"
            && places.iter().flatten().filter(|other| *other == place).count() == 1
        {
            backend.name = BackendName::try_from(place.clone()).ok();
        }
    }
}

impl FromStr for BackendSpec {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (Some(BackendName::try_from(name.to_owned())?), address),
            None => (None, text),
        };
        Ok(Self(Backend::new(name, address.parse()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(specs: &[&str]) -> Vec<(String, bool)> {
        BackendSpec::backends(specs.iter().map(|spec| spec.parse().unwrap()).collect())
            .iter()
            .map(|backend| (backend.label(), backend.name.is_some()))
            .collect()
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["example.com:80", "127.0.0.1:6190", "[::1]:443", "a_b.c-d.:1"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "example.com",
            ":80",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "::1:80",
            "[::1:80",
            "[::1]",
            "a b:80",
            "a..b:80",
            "http://a:80",
            "a:+80",
            "a:080",
            "user@a:80",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_dns_name_names_its_backend_unless_two_share_it() {
        assert_eq!(backends(&["Example.com:80"]), [("example.com".to_owned(), true)]);
        assert_eq!(
            backends(&["a.test:1", "a.test:2", "b.test:1"]),
            [
                ("a.test:1".to_owned(), false),
                ("a.test:2".to_owned(), false),
                ("b.test".to_owned(), true)
            ]
        );
        assert_eq!(backends(&["a.test.:80"]), [("a.test".to_owned(), true)]);
        assert_eq!(backends(&["localhost:80"]), [("localhost:80".to_owned(), false)]);
        assert_eq!(backends(&["One=127.0.0.1:80"]), [("one".to_owned(), true)]);
    }
}
