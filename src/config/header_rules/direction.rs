//! The two ways that a message goes, and what holds for header rules on each.

use http::HeaderName;

use super::HeaderRules;

/// Which way a message goes; its rules' defaults and limits depend on it.
pub trait Direction {
    /// The rules that hold if nothing is written.
    fn defaults() -> HeaderRules<Self>
    where
        Self: Sized;

    /// Why no rule of this direction may touch a field.
    fn refusal(name: &HeaderName) -> Option<&'static str>;
}

/// What is sent to the backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {}

/// What is sent to the client, the proxy's own answers included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Response {}

// === impl Direction ===

impl Direction for Request {
    fn defaults() -> HeaderRules<Self> {
        HeaderRules::new(
            &[],
            &[
                ("x-proxy-added", "pingora-demo"),
                ("x-forwarded-by", "rust-pingora"),
                ("x-request-id", "$request_id"),
                ("x-forwarded-for", "$forwarded_for"),
                ("x-forwarded-proto", "$forwarded_proto"),
                ("x-forwarded-host", "$forwarded_host"),
            ],
        )
    }

    fn refusal(name: &HeaderName) -> Option<&'static str> {
        (*name == http::header::HOST).then_some("follows from the backend's name: set that instead")
    }
}

impl Direction for Response {
    fn defaults() -> HeaderRules<Self> {
        HeaderRules::new(
            &["server"],
            &[
                ("x-proxy", "pingora-demo"),
                ("x-load-balancer", "rust-implementation"),
                ("x-served-by", "$backend"),
            ],
        )
    }

    fn refusal(_: &HeaderName) -> Option<&'static str> {
        None
    }
}
