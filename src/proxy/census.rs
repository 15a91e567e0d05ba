//! Which of the fields that the proxy goes by a request has.

use http::HeaderMap;

/// What one pass over the names of a request's fields has found. To look for a single
/// field hashes its name, and nearly always finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// `Content-Length`.
    pub content_length: bool,
    /// `Transfer-Encoding`.
    pub transfer_encoding: bool,
    /// `Expect`.
    pub expect: bool,
    /// `X-Request-Id`.
    pub request_id: bool,
    /// `traceparent`.
    pub trace_parent: bool,
    /// `tracestate`.
    pub trace_state: bool,
    /// `Forwarded`, or any field whose name begins with `X-`: it may be what a proxy
    /// says of a client.
    pub claim: bool,
    /// `Proxy`, or a name with `_`: it may be taken for another.
    pub look_alike: bool,
}

// === impl Census ===

impl Census {
    /// Looks at the names of these fields.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut census = Self::default();
        for name in headers.keys() {
            let name = name.as_str().as_bytes();
            match name {
                b"content-length" => census.content_length = true,
                b"transfer-encoding" => census.transfer_encoding = true,
                b"expect" => census.expect = true,
                b"forwarded" => census.claim = true,
                b"proxy" => census.look_alike = true,
                b"traceparent" => census.trace_parent = true,
                b"tracestate" => census.trace_state = true,
                [b'x', b'-', rest @ ..] => {
                    census.claim = true;
                    census.request_id |= rest == b"request-id";
                }
                _ => {}
            }
            census.look_alike |= name.contains(&b'_');
        }
        census
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn of(names: &[&str]) -> Census {
        let mut headers = HeaderMap::new();
        for name in names {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_static("x"));
        }
        Census::of(&headers)
    }

    #[test]
    fn each_field_is_found_among_others() {
        let none = Census::default();
        assert_eq!(of(&[]), none);
        assert_eq!(of(&["host", "accept", "content-type", "te", "connection", "x"]), none);
        for (name, found) in [
            ("Content-Length", Census { content_length: true, ..none }),
            ("transfer-encoding", Census { transfer_encoding: true, ..none }),
            ("expect", Census { expect: true, ..none }),
            ("X-Request-ID", Census { request_id: true, claim: true, ..none }),
            ("traceparent", Census { trace_parent: true, ..none }),
            ("tracestate", Census { trace_state: true, ..none }),
            ("forwarded", Census { claim: true, ..none }),
            ("X-Forwarded-For", Census { claim: true, ..none }),
            ("x-anything", Census { claim: true, ..none }),
            ("proxy", Census { look_alike: true, ..none }),
            ("content_length", Census { look_alike: true, ..none }),
            ("x_real_ip", Census { look_alike: true, ..none }),
            ("x-real_ip", Census { look_alike: true, claim: true, ..none }),
        ] {
            assert_eq!(of(&["host", name, "accept"]), found, "{name}");
        }
    }
}
