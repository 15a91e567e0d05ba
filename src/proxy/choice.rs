//! What a request is for: its route, the backends that may answer it, and the
//! path that they get.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use pingora::http::RequestHeader;

use super::answer::Reason;
use super::host::Host;
use super::pool::Target;
use super::route::{Action, Route};
use super::routes::{Asked, Routes};
use super::{cookie, path};
use crate::config::{self, Balance, HashBy};

/// What a request is for.
pub struct Choice {
    /// What is done with it.
    pub route: Arc<Route>,
    /// The backends that may answer it.
    pub target: Target,
    /// The path and query to send on, where they are not those that were asked for.
    pub path: Option<String>,
}

/// Finds the route of a request with this host, or none.
///
/// # Errors
///
/// No route fits, or its path has no one reading.
pub fn choose(
    routes: &Routes,
    request: &RequestHeader,
    host: Option<&Host>,
) -> Result<Choice, Reason> {
    let asked_for = request.uri.path();
    // `OPTIONS *` is about the server as a whole.
    let path = match asked_for {
        "*" => Cow::Borrowed("*"),
        path => path::normalise(path).map_err(|_| Reason::AmbiguousPath)?,
    };
    let find = |host: Option<&[u8]>| {
        let (method, headers) = (&request.method, &request.headers);
        let asked = Asked { host, path: &path, method, headers };
        let route = routes.find(asked)?;
        let target = match (route.action(), host) {
            (Action::Pool(pool), Some(host)) => pool.named(host).unwrap_or(Target::Any),
            _ => Target::Any,
        };
        Some((Arc::clone(route), target))
    };
    let found = match host {
        Some(host) => host.look_up(|host| find(Some(host))),
        None => find(None),
    };
    let (route, target) = found.ok_or(Reason::NoRoute)?;
    let query = request.uri.query();
    let path = route.rewritten(&path, query).or_else(|| match (path, query) {
        (Cow::Borrowed(_), _) => None,
        (Cow::Owned(path), Some(query)) => Some(format!("{path}?{query}")),
        (Cow::Owned(path), None) => Some(path),
    });
    Ok(Choice { route, target, path })
}

/// What the consistent hash of a pool goes by; nothing for a pool that has none.
pub fn hash_key<'a>(
    pool: &config::Pool,
    request: &'a RequestHeader,
    client: Option<IpAddr>,
) -> Cow<'a, [u8]> {
    if pool.balance != Balance::ConsistentHash {
        return Cow::Borrowed(&[]);
    }
    let key = match &pool.hash_by {
        HashBy::ClientAddress => None,
        HashBy::Path => Some(request.uri.path().as_bytes()),
        HashBy::Header(name) => request.headers.get(&name.0).map(HeaderValue::as_bytes),
        HashBy::Cookie(name) => cookie::values(&request.headers, name).next(),
    };
    match (key, client) {
        (Some(key), _) => Cow::Borrowed(key),
        (None, Some(IpAddr::V4(client))) => Cow::Owned(client.octets().into()),
        (None, Some(IpAddr::V6(client))) => Cow::Owned(client.octets().into()),
        (None, None) => Cow::Borrowed(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pool: &str, fields: &[(&'static str, &'static str)]) -> Vec<u8> {
        let pool: config::Pool = toml::from_str(pool).unwrap();
        let mut request = RequestHeader::build("GET", b"/a?q", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        hash_key(&pool, &request, Some("192.0.2.7".parse().unwrap())).into_owned()
    }

    #[test]
    fn a_key_is_what_requests_have_in_common() {
        let by = |by: &str| format!("balance = 'consistent_hash'\nhash_by = {by}");
        assert_eq!(key("", &[]), b"");
        assert_eq!(key(&by("'path'"), &[]), b"/a");
        assert_eq!(key(&by("'client_address'"), &[]), [192, 0, 2, 7]);
        assert_eq!(key(&by("{ header = 'x-user' }"), &[("X-User", "ann")]), b"ann");
        assert_eq!(key(&by("{ header = 'x-user' }"), &[]), [192, 0, 2, 7]);
        let cookies = [("cookie", "aid=1; id=2"), ("cookie", "id=3")];
        assert_eq!(key(&by("{ cookie = 'id' }"), &cookies), b"2");
    }
}
