//! Which requests go where.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::written::written_as_string;
use super::{Compress, HeaderTemplate, Invalid, RouteHeaders, Size, Span, StatusCode};

/// Which requests go where. Everything that a route says of a request must be
/// true of it. Of the routes that fit, the most specific wins: an exact host
/// before a wildcard (the longer one first) before none, then an exact path
/// before a prefix (the longer one first) before none, then one with methods,
/// then the one with more header fields; between equals, the first in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What the route is called in logs and metrics; its number by default.
    #[serde(default)]
    pub name: Option<String>,
    /// Hosts, each exact (`shop.example.com`) or a wildcard (`*.example.com`, any
    /// number of labels); any host by default. Port and case do not matter.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The whole path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RoutePath>,
    /// The beginning of the path, in whole segments: `/api` fits `/api` and
    /// `/api/x`, and not `/apiary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<RoutePath>,
    /// Methods; any by default.
    #[serde(default)]
    pub methods: Vec<MethodName>,
    /// Header fields and their values; `"*"` is any value.
    #[serde(default)]
    pub match_headers: FieldValues,
    /// Sends the request to the pool of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Answers with a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Answers by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<FixedAnswer>,
    /// Sends the path on without the part that `prefix` fits.
    #[serde(default)]
    pub strip_prefix: bool,
    /// Sends the path on with this in place of the part that `prefix` (or `path`)
    /// fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<RoutePath>,
    /// Names of `[access.NAME]` policies, all of which must let the client in.
    #[serde(default)]
    pub access: Vec<String>,
    /// Names of `[rate_limit.NAME]` policies, all of which must have room.
    #[serde(default)]
    pub rate_limit: Vec<String>,
    /// The name of the `[auth.NAME]` policy that says who may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// The name of the `[cors.NAME]` policy for browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<String>,
    /// Compresses answers that the backend sent plain, for clients that accept it: `true`,
    /// or a table.
    #[serde(
        default,
        deserialize_with = "super::compress::switch_or_table",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "super::compress::CompressOrSwitch")]
    pub compress: Option<Compress>,
    /// The largest body of a request, in place of that of `[limits]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size: Option<Size>,
    /// The total time limit, in place of the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// Header rules of this route, applied after those of `[headers]`.
    #[serde(default)]
    pub headers: RouteHeaders,
}

/// A host, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum HostPattern {
    /// This host, in lower case, without a last dot.
    Exact(String),
    /// Every host that ends in this, which begins with a dot.
    Below(String),
}

written_as_string!(
    HostPattern,
    "HostPattern",
    "A host name or IP address without port, or *. and a host name",
    "*.example.com"
);

/// A path, or the beginning of one, as requests are matched: without a query,
/// without dot segments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoutePath(String);

written_as_string!(RoutePath, "RoutePath", "A path, beginning with /, without query", "/api");

/// A method of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MethodName(pub Method);

written_as_string!(MethodName, "MethodName", "A method, in capitals", "GET");

/// Header fields and the values that they must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
#[schemars(with = "BTreeMap<String, String>")]
pub struct FieldValues(pub Vec<(HeaderName, Option<HeaderValue>)>);

/// Where a client is sent instead. What is left out stays as the client asked
/// for it, and so does the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<super::BackendName>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The whole path; `rewrite` and `strip_prefix` change a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RoutePath>,
    /// The status code: whether the redirect is for good, and whether the method stays.
    #[serde(default)]
    pub status: RedirectStatus,
}

/// A scheme of the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// The status code of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16", extend("enum" = [301, 302, 303, 307, 308]))]
pub struct RedirectStatus(pub http::StatusCode);

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedAnswer {
    /// The status code.
    #[serde(default = "FixedAnswer::ok")]
    pub status: StatusCode,
    /// The body; none by default.
    #[serde(default)]
    pub body: String,
    /// The body's type.
    #[serde(default = "FixedAnswer::text")]
    pub content_type: HeaderTemplate,
}

// === impl HostPattern ===

impl TryFrom<String> for HostPattern {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_ip = plain.starts_with('[')
            && plain.ends_with(']')
            && plain[1..plain.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        let is_name = !plain.is_empty()
            && plain.len() <= 253
            && plain.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            });
        match (below, is_name, is_ip) {
            (false, true, _) | (false, _, true) => Ok(Self::Exact(plain)),
            (true, true, _) => Ok(Self::Below(format!(".{plain}"))),
            _ => Err(Invalid(format!(
                "\"{text}\" is no host: write shop.example.com, *.example.com or [::1], without a port"
            ))),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

// === impl RoutePath ===

impl RoutePath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoutePath {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let refuse = |why: &str| Err(Invalid(format!("\"{text}\" is no path of a route: {why}")));
        if !text.starts_with('/') {
            return refuse("begin with /");
        }
        if text.contains(['?', '#']) {
            return refuse("leave out the query, it plays no part");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("write spaces and other letters percent-encoded, like %20");
        }
        if text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return refuse("dot segments are resolved before paths are matched, leave them out");
        }
        if text.contains("//") {
            return refuse("an empty segment never fits, leave out one /");
        }
        Ok(Self(text))
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl MethodName ===

impl TryFrom<String> for MethodName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(Invalid(format!(
                "\"{text}\" is no method: methods are written in capitals, like {}",
                text.to_ascii_uppercase()
            )));
        }
        Method::from_bytes(text.as_bytes())
            .map(Self)
            .map_err(|_| Invalid(format!("\"{text}\" is no method: write one like GET")))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

// === impl FieldValues ===

impl TryFrom<BTreeMap<String, String>> for FieldValues {
    type Error = Invalid;

    fn try_from(fields: BTreeMap<String, String>) -> Result<Self, Invalid> {
        fields
            .into_iter()
            .map(|(name, value)| {
                let field = super::FieldName::try_from(name)?.0;
                let value = match value.as_str() {
                    "*" => None,
                    text => Some(
                        HeaderValue::from_str(text)
                            .map_err(|_| Invalid(format!("{text:?} is no value of a field")))?,
                    ),
                };
                Ok((field, value))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<FieldValues> for BTreeMap<String, String> {
    fn from(fields: FieldValues) -> Self {
        fields
            .0
            .into_iter()
            .map(|(name, value)| {
                let text = |value: HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
                (name.to_string(), value.map_or_else(|| "*".to_owned(), text))
            })
            .collect()
    }
}

// === impl RedirectStatus ===

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(http::StatusCode::PERMANENT_REDIRECT)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = Invalid;

    fn try_from(code: u16) -> Result<Self, Invalid> {
        match code {
            301 | 302 | 303 | 307 | 308 => http::StatusCode::from_u16(code)
                .map(Self)
                .map_err(|_| Invalid(format!("{code} is no status code"))),
            _ => Err(Invalid(format!("{code} is no redirect: use 301, 302, 303, 307 or 308"))),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0.as_u16()
    }
}

// === impl FixedAnswer ===

impl FixedAnswer {
    fn ok() -> StatusCode {
        StatusCode(http::StatusCode::OK)
    }

    fn text() -> HeaderTemplate {
        HeaderTemplate::literal("text/plain; charset=utf-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_one_form() {
        let read = |text: &str| HostPattern::try_from(text.to_owned());
        assert_eq!(
            read("Shop.Example.com.").unwrap(),
            HostPattern::Exact("shop.example.com".into())
        );
        assert_eq!(read("*.Example.com").unwrap(), HostPattern::Below(".example.com".into()));
        assert_eq!(read("[::1]").unwrap(), HostPattern::Exact("[::1]".into()));
        for text in ["", "*", "*.", "a:80", "a b", "a..b", "*.[::1]", "http://a", "a.*.b"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_could_never_fit_are_refused() {
        for text in ["api", "/a?b", "/a/../b", "/a//b", "/ä", "/a b", "/a/."] {
            assert!(RoutePath::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(RoutePath::try_from("/a/b".to_owned()).unwrap().as_str(), "/a/b");
    }
}
