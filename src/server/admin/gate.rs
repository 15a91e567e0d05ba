//! Who may ask the admin listener at all.

use std::net::IpAddr;

use arc_swap::ArcSwap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::config::{Admin, Secret};

/// What load balancers and supervisors ask, who have no token; it tells little.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Who may ask. It is swapped whole on reload.
pub struct Gate(ArcSwap<Rules>);

struct Rules {
    hosts: Vec<String>,
    token: Option<Secret>,
}

// === impl Gate ===

impl Gate {
    /// As the configuration says.
    pub fn new(config: &Admin) -> Self {
        Self(ArcSwap::from_pointee(Rules::new(config)))
    }

    /// As another configuration says, from now on.
    pub fn swap(&self, config: &Admin) {
        self.0.store(std::sync::Arc::new(Rules::new(config)));
    }

    /// Whether a request may be answered that came to this address.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admit<B>(&self, request: &Request<B>, own: IpAddr) -> Result<(), Refusal> {
        let rules = self.0.load();
        let headers = request.headers();
        let host = host(request).ok_or_else(Refusal::foreign_host)?;
        if !rules.knows(&host, own.to_canonical()) {
            return Err(Refusal::foreign_host());
        }
        // A page of another site cannot read an answer, but what it sends would be
        // done (CSRF); browsers say where such a request comes from.
        if headers.get_all(ORIGIN).iter().any(|origin| !is_of(origin.as_bytes(), headers)) {
            return Err(Refusal::foreign_origin());
        }
        match &rules.token {
            Some(token) if !OPEN.contains(&request.uri().path()) => {
                let mut given = headers.get_all(AUTHORIZATION).iter();
                match (given.next(), given.next()) {
                    (Some(given), None) if is_bearer(given.as_bytes(), token) => Ok(()),
                    _ => Err(Refusal::no_token()),
                }
            }
            _ => Ok(()),
        }
    }
}

// === impl Rules ===

impl Rules {
    fn new(config: &Admin) -> Self {
        Self {
            hosts: config.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            token: config.token.clone(),
        }
    }

    /// Whether a host, in lower case and without a port, means this listener.
    fn knows(&self, host: &str, own: IpAddr) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = bare.parse::<IpAddr>().map(|address| address.to_canonical());
        match address {
            Ok(address) if address == own || address.is_loopback() => true,
            _ => bare == "localhost" || self.hosts.iter().any(|known| known == bare),
        }
    }
}

/// The one `Host` of a request, in lower case and without a port.
fn host<B>(request: &Request<B>) -> Option<String> {
    let mut fields = request.headers().get_all(HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let authority = Authority::try_from(field.as_bytes()).ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    // The absolute form says it too (RFC 9112, section 3.2.2), and must say the same.
    if request.uri().authority().is_some_and(|other| *other != authority) {
        return None;
    }
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase())
}

/// Whether an origin (RFC 6454, section 7) is the place that is asked.
fn is_of(origin: &[u8], headers: &HeaderMap) -> bool {
    let place = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    let host = headers.get(HOST).map(|host| host.as_bytes());
    place.is_some_and(|place| host.is_some_and(|host| place.eq_ignore_ascii_case(host)))
}

/// Whether credentials are this token (RFC 6750, section 2.1).
fn is_bearer(given: &[u8], token: &Secret) -> bool {
    let Some((scheme, given)) = given.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ")
        && bool::from(given.trim_ascii().ct_eq(token.reveal().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(gate: &Gate, path: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::get(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let own = "192.0.2.7".parse().unwrap();
        gate.admit(&request.body(()).unwrap(), own).err().map(|refusal| refusal.status.as_u16())
    }

    fn gate(text: &str) -> Gate {
        Gate::new(&toml::from_str(text).unwrap())
    }

    #[test]
    fn only_a_host_that_means_this_listener_is_answered() {
        let gate = gate("hosts = ['lb.internal', '203.0.113.9']");
        for host in [
            "localhost",
            "LOCALHOST:6189",
            "127.0.0.1:6189",
            "127.8.9.1",
            "[::1]:6189",
            "192.0.2.7:1",
            "lb.internal:80",
            "lb.internal.",
            "203.0.113.9",
        ] {
            assert_eq!(asked(&gate, "/status", &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.test", "localhost.evil.test", "192.0.2.8", "x@localhost", "", "a b", "[::2]"]
        {
            assert_eq!(asked(&gate, "/healthz", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(asked(&gate, "/status", &[]), Some(421));
        let twice = [("host", "localhost"), ("host", "evil.test")];
        assert_eq!(asked(&gate, "/status", &twice), Some(421));
        assert_eq!(asked(&gate, "http://evil.test/status", &[("host", "localhost")]), Some(421));
    }

    #[test]
    fn a_page_of_another_site_may_not_ask() {
        let gate = gate("");
        let from = |origin: &str| {
            asked(&gate, "/reload", &[("host", "localhost:6189"), ("origin", origin)])
        };
        assert_eq!(from("http://localhost:6189"), None);
        for origin in ["http://evil.test", "http://localhost:8000", "null", "http://localhost"] {
            assert_eq!(from(origin), Some(403), "{origin}");
        }
    }

    #[test]
    fn a_token_opens_all_but_what_is_open() {
        let gate = gate("token = 's3cret'");
        let with = |path: &str, given: &str| {
            asked(&gate, path, &[("host", "localhost"), ("authorization", given)])
        };
        for given in ["Bearer s3cret", "bearer s3cret"] {
            assert_eq!(with("/metrics", given), None, "{given}");
        }
        for given in ["Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "", "Bearer "] {
            assert_eq!(with("/metrics", given), Some(401), "{given}");
        }
        assert_eq!(asked(&gate, "/status", &[("host", "localhost")]), Some(401));
        assert_eq!(asked(&gate, "/nowhere", &[("host", "localhost")]), Some(401));
        for path in OPEN {
            assert_eq!(asked(&gate, path, &[("host", "localhost")]), None);
        }
    }
}
