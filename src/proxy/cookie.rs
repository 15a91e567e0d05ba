//! Cookies of requests (RFC 6265, section 4.2.1).

use http::HeaderMap;
use http::header::COOKIE;

/// The values of all cookies of a name, in their order.
pub fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|field| pairs(field.as_bytes()));
    pairs.filter_map(move |pair| value_of(pair, name))
}

/// The cookies of a field, each with its name.
pub fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|b| *b == b';').map(<[u8]>::trim_ascii)
}

/// The value of a cookie, if it has this name.
pub fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}
