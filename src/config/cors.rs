//! Which pages of other origins may read answers (CORS).

use std::fmt;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::{Misfit, at, misfit};
use super::written::written_as_string;
use super::{FieldName, Invalid, MethodName, Span};

/// What browsers let pages of other origins do (Fetch standard, section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins of pages that may read answers: each exact (`https://example.com`),
    /// all below a host (`https://*.example.com`), or all there are (`*`).
    pub origins: Vec<OriginPattern>,
    /// Methods that their scripts may use; `*` is all. Browsers allow GET, HEAD and
    /// POST anyway.
    #[serde(default = "Cors::simple_methods")]
    pub methods: Vec<MethodName>,
    /// Fields that their scripts may send beyond those that browsers allow anyway;
    /// `*` is all but `authorization`.
    #[serde(default)]
    pub headers: Vec<FieldName>,
    /// Fields of answers that their scripts may read beyond those that browsers allow
    /// anyway; `*` is all.
    #[serde(default)]
    pub expose: Vec<FieldName>,
    /// Whether browsers may send cookies, client certificates and passwords with
    /// their requests, and let them read the answers.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser may remember what it was allowed; many cap it at 2h.
    #[serde(default = "Cors::five_minutes")]
    pub max_age: Span,
}

/// An origin, or many (RFC 6454, section 6.2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum OriginPattern {
    /// All there are.
    Any,
    /// This one, as browsers write it: in lower case, without the scheme's own port.
    Exact(String),
    /// Every one that begins and ends so, with one or more labels of a host between.
    Below {
        /// The scheme and `://`.
        scheme: String,
        /// A dot, the host, and the port if it is not the scheme's own.
        suffix: String,
    },
}

written_as_string!(
    OriginPattern,
    "OriginPattern",
    "An origin, all origins below a host, or *",
    "https://*.example.com"
);

// === impl Cors ===

impl Cors {
    fn simple_methods() -> Vec<MethodName> {
        [Method::GET, Method::HEAD, Method::POST].map(MethodName).into()
    }

    fn five_minutes() -> Span {
        Span::from_secs(5 * 60)
    }

    /// Whether pages of all origins may read answers.
    pub fn is_for_all(&self) -> bool {
        self.origins.contains(&OriginPattern::Any)
    }

    /// What is wrong that no single value shows.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        if self.origins.is_empty() {
            return Some(misfit(at!["origins"], "no origin may do anything: name one"));
        }
        if self.is_for_all() && self.origins.len() > 1 {
            let message = "\"*\" is every origin: leave out the others, or it";
            return Some(misfit(at!["origins"], message));
        }
        if !self.credentials {
            return None;
        }
        let star = |found: bool, key| found.then_some(key);
        let key = star(self.is_for_all(), "origins")
            .or_else(|| star(self.methods.iter().any(|m| m.0.as_str() == "*"), "methods"))
            .or_else(|| star(self.headers.iter().any(|h| h.0.as_str() == "*"), "headers"))
            .or_else(|| star(self.expose.iter().any(|h| h.0.as_str() == "*"), "expose"))?;
        let message = format!(
            "browsers do not take \"*\" in {key} together with credentials: name {key}, or set \
             credentials = false"
        );
        Some(misfit(at![key], message))
    }
}

// === impl OriginPattern ===

impl TryFrom<String> for OriginPattern {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let refuse = |why: &str| Err(Invalid(format!("\"{text}\" is no origin: {why}")));
        if text == "null" {
            return refuse("any sandboxed page says it is null; serve the page from an origin");
        }
        let lower = text.to_ascii_lowercase();
        let Some((scheme, authority)) = lower.split_once("://") else {
            return refuse("write it with its scheme, like https://example.com");
        };
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(letters) {
            return refuse("write it with its scheme, like https://example.com");
        }
        if authority.contains(['/', '?', '#']) {
            return refuse("leave out the path and its slash");
        }
        let (below, authority) = match authority.strip_prefix("*.") {
            Some(authority) => (true, authority),
            None => (false, authority),
        };
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = authority.split_at(port_at.unwrap_or(authority.len()));
        let is_ip = host.starts_with('[')
            && host.ends_with(']')
            && host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        let is_name = !host.is_empty()
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            });
        if !is_name && (below || !is_ip) {
            return refuse("its host is none; write other letters than a to z as xn--");
        }
        let port = match (scheme, port) {
            // Browsers leave them out.
            ("http", ":80") | ("https", ":443") | (_, "") => "",
            (_, port)
                if port[1..].parse::<u16>().is_ok_and(|number| format!(":{number}") == port) =>
            {
                port
            }
            _ => return refuse("its port is none"),
        };
        Ok(if below {
            Self::Below { scheme: format!("{scheme}://"), suffix: format!(".{host}{port}") }
        } else {
            Self::Exact(format!("{scheme}://{host}{port}"))
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below { scheme, suffix } => write!(f, "{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for (text, read) in [
            ("https://Example.com", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://*.Example.com:8443", "https://*.example.com:8443"),
            ("moz-extension://abc", "moz-extension://abc"),
            ("*", "*"),
        ] {
            let origin = OriginPattern::try_from(text.to_owned()).unwrap();
            assert_eq!(origin.to_string(), read, "{text}");
        }
        for text in [
            "",
            "null",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/x",
            "https://user@example.com",
            "https://a..b",
            "https://*",
            "https://*.",
            "https://a.*.b",
            "https://*.[::1]",
            "https://ä.example",
            "https://a:b",
            "https://a:",
            "https://a:070",
            "https://a:70000",
            "//a",
            "1x://a",
        ] {
            assert!(OriginPattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
