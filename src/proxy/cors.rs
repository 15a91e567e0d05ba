//! Which pages of other origins may read answers (Fetch standard, section 3.2).
//!
//! Browsers send the page's origin and keep an answer from the page that does not
//! name it. The policy speaks in every answer of its route, the proxy's own errors
//! included, and instead of the backend, whose fields would else stand beside its
//! own.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::list;
use crate::config::{self, OriginPattern};

/// What the policy says, and the backend does not.
const OWN: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// One policy.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
    expose: Option<HeaderValue>,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Origins {
    All,
    Some { exact: Box<[Box<str>]>, below: Box<[Below]> },
}

/// All origins that begin and end so.
#[derive(Debug)]
struct Below {
    scheme: Box<str>,
    suffix: Box<str>,
}

/// Whether a browser asks what it may send before it sends it.
pub fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

// === impl Cors ===

impl Cors {
    /// Prepares a policy.
    pub fn new(written: &config::Cors) -> Self {
        let fields = |fields: &[config::FieldName]| list(fields.iter().map(|f| f.0.as_str()));
        Self {
            origins: Origins::new(&written.origins),
            credentials: written.credentials,
            expose: fields(&written.expose),
            methods: list(written.methods.iter().map(|method| method.0.as_str())),
            headers: fields(&written.headers),
            max_age: written.max_age.get().as_secs().into(),
        }
    }

    /// Says in an answer what the origin of the request may do, which is nothing
    /// where it is not named.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    pub fn speak(&self, request: &RequestHeader, answer: &mut ResponseHeader) -> Result<()> {
        for name in &OWN {
            answer.remove_header(name);
        }
        let allowed = match &self.origins {
            Origins::All => Some(HeaderValue::from_static("*")),
            Origins::Some { exact, below } => {
                // Caches must not give one origin what was meant for another.
                if !varies_by_origin(answer) {
                    answer.append_header(VARY, HeaderValue::from_static("Origin"))?;
                }
                let mut sent = request.headers.get_all(ORIGIN).iter();
                let only = sent.next().filter(|_| sent.next().is_none());
                only.filter(|origin| is_among(origin.as_bytes(), exact, below)).cloned()
            }
        };
        let Some(allowed) = allowed else { return Ok(()) };
        answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, allowed)?;
        if self.credentials {
            answer.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
        }
        if is_preflight(request) {
            if let Some(methods) = &self.methods {
                answer.insert_header(ACCESS_CONTROL_ALLOW_METHODS, methods.clone())?;
            }
            if let Some(headers) = &self.headers {
                answer.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone())?;
            }
            answer.insert_header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone())?;
        } else if let Some(expose) = &self.expose {
            answer.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone())?;
        }
        Ok(())
    }
}

/// What stands in one field; none for nothing.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let words: Vec<_> = words.collect();
    // Methods and names of fields hold nothing that a field could not.
    (!words.is_empty()).then(|| HeaderValue::try_from(words.join(", ")).ok()).flatten()
}

fn varies_by_origin(answer: &ResponseHeader) -> bool {
    list::names(&answer.headers, &VARY, b"origin") || list::names(&answer.headers, &VARY, b"*")
}

// === impl Origins ===

impl Origins {
    fn new(written: &[OriginPattern]) -> Self {
        let (mut exact, mut below) = (Vec::new(), Vec::new());
        for origin in written {
            match origin {
                OriginPattern::Any => return Self::All,
                OriginPattern::Exact(origin) => exact.push(origin.as_str().into()),
                OriginPattern::Below { scheme, suffix } => {
                    below.push(Below {
                        scheme: scheme.as_str().into(),
                        suffix: suffix.as_str().into(),
                    });
                }
            }
        }
        Self::Some { exact: exact.into(), below: below.into() }
    }
}

/// Browsers write an origin in one way, so it is compared byte by byte.
fn is_among(origin: &[u8], exact: &[Box<str>], below: &[Below]) -> bool {
    exact.iter().any(|known| known.as_bytes() == origin)
        || below.iter().any(|below| below.contains(origin))
}

// === impl Below ===

impl Below {
    /// Whatever stands between must be labels of a host: `https://evil.test/.a.test`
    /// ends well, too.
    fn contains(&self, origin: &[u8]) -> bool {
        let labels = origin
            .strip_prefix(self.scheme.as_bytes())
            .and_then(|rest| rest.strip_suffix(self.suffix.as_bytes()));
        let of_label =
            |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        labels.is_some_and(|labels| {
            labels
                .split(|b| *b == b'.')
                .all(|label| !label.is_empty() && label.iter().all(of_label))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Field = (&'static str, &'static str);

    /// What a policy makes of an answer with these fields: those of CORS, and `Vary`.
    fn spoken(policy: &str, method: &str, sent: &[Field], backend: &[Field]) -> Vec<String> {
        let cors = Cors::new(&toml::from_str(policy).unwrap());
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in sent {
            request.append_header(*name, *value).unwrap();
        }
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in backend {
            answer.append_header(*name, *value).unwrap();
        }
        cors.speak(&request, &mut answer).unwrap();
        let mut fields: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .map(|field| field.replace("access-control-", ""))
            .collect();
        fields.sort();
        fields
    }

    const EXACT: &str = "origins = ['https://a.test', 'http://localhost:3000']";
    const BELOW: &str = "origins = ['https://*.a.test', 'http://*.b.test:81']";

    fn allows(policy: &str, origin: &'static str) -> bool {
        let fields = spoken(policy, "GET", &[("origin", origin)], &[]);
        assert!(fields.contains(&"vary: Origin".to_owned()), "{fields:?}");
        fields.contains(&format!("allow-origin: {origin}"))
    }

    #[test]
    fn an_origin_is_named_only_if_it_is_allowed() {
        for origin in ["https://a.test", "http://localhost:3000"] {
            assert!(allows(EXACT, origin), "{origin}");
        }
        for origin in [
            "http://a.test",
            "https://a.test:444",
            "https://a.test.evil.test",
            "https://eviltest",
            "https://a.test/",
            "https://A.test",
            "https://localhost:3000",
            "null",
            "",
            "*",
        ] {
            assert!(!allows(EXACT, origin), "{origin}");
        }
        for origin in ["https://x.a.test", "https://x.y-z.a.test", "http://x.b.test:81"] {
            assert!(allows(BELOW, origin), "{origin}");
        }
        for origin in [
            "https://a.test",
            "https://.a.test",
            "https://x..a.test",
            "https://xa.test",
            "http://x.a.test",
            "https://x.a.test:81",
            "http://x.b.test",
            "https://evil.test/.a.test",
            "https://evil.test#.a.test",
            "https://evil.test:80.a.test",
            "https://user@x.a.test",
            "https://evil.test\\.a.test",
        ] {
            assert!(!allows(BELOW, origin), "{origin}");
        }
        let twice = [("origin", "https://a.test"), ("origin", "https://a.test")];
        assert_eq!(spoken(EXACT, "GET", &twice, &[]), ["vary: Origin"]);
        assert_eq!(spoken(EXACT, "GET", &[], &[]), ["vary: Origin"]);
    }

    #[test]
    fn all_origins_are_told_so_and_the_answer_is_the_same_for_all() {
        let all = "origins = ['*']";
        assert_eq!(spoken(all, "GET", &[("origin", "https://x.test")], &[]), ["allow-origin: *"]);
        assert_eq!(spoken(all, "GET", &[], &[]), ["allow-origin: *"]);
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent_and_others_what_may_be_read() {
        let policy = "origins = ['https://a.test']\nmethods = ['PUT', 'DELETE']\n\
                      headers = ['X-One', 'authorization']\nexpose = ['x-two', 'etag']\n\
                      credentials = true\nmax_age = '1h'";
        let origin = ("origin", "https://a.test");
        let asks = ("access-control-request-method", "PUT");
        assert_eq!(
            spoken(policy, "OPTIONS", &[origin, asks], &[]),
            [
                "allow-credentials: true",
                "allow-headers: x-one, authorization",
                "allow-methods: PUT, DELETE",
                "allow-origin: https://a.test",
                "max-age: 3600",
                "vary: Origin",
            ]
        );
        let read = [
            "allow-credentials: true",
            "allow-origin: https://a.test",
            "expose-headers: x-two, etag",
            "vary: Origin",
        ];
        for method in ["GET", "OPTIONS"] {
            assert_eq!(spoken(policy, method, &[origin], &[]), read, "{method}");
        }
        let other = ("origin", "https://b.test");
        assert_eq!(spoken(policy, "OPTIONS", &[other, asks], &[]), ["vary: Origin"]);
    }

    #[test]
    fn what_the_backend_says_is_replaced_and_its_vary_is_kept() {
        let backend = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-origin", "https://b.test"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
            ("access-control-max-age", "99"),
            ("vary", "Accept-Encoding"),
        ];
        let origin = [("origin", "https://a.test")];
        assert_eq!(
            spoken(EXACT, "GET", &origin, &backend),
            ["allow-origin: https://a.test", "vary: Accept-Encoding", "vary: Origin"]
        );
        for vary in ["*", "accept, ORIGIN"] {
            let fields = spoken(EXACT, "GET", &[], &[("vary", vary)]);
            assert_eq!(fields, [format!("vary: {vary}")]);
        }
    }
}
