//! What one client may take of the load balancer: time, bytes, connections.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::written::written_as_string;
use super::{Count, Invalid, Size, Span};

/// Limits on clients. Each default is one that no honest client meets and that no
/// dishonest one can pass to hold the load balancer up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a client may take for the whole header of a request, from its
    /// first byte; for the first request, from the moment it was accepted. Past it,
    /// the answer is 408. 10s by default.
    pub header_timeout: Span,
    /// How long a connection may be unused between two requests. 60s by default.
    pub idle_timeout: Span,
    /// How long a TLS handshake may take. 10s by default.
    pub handshake_timeout: Span,
    /// How long a client may be silent inside the body of a request. Past it, the
    /// answer is 408. 30s by default. Bodies of HTTP/2 are limited by `[timeouts]`.
    pub body_timeout: Span,
    /// The least bytes a second that a client sends of a body, on average over the
    /// time that is spent waiting for it, after the first 10 seconds of that;
    /// `"off"` for none. Past it, the answer is 408. 500B by default.
    pub body_rate: Rate,
    /// How long a client may take nothing of its answer. Past it, the connection is
    /// closed. 60s by default.
    pub write_timeout: Span,
    /// The least bytes a second that a client takes of an answer, on average over
    /// the time that is spent waiting for it, after the first 10 seconds of that;
    /// `"off"` for none. Past it, the connection is closed. 500B by default.
    pub answer_rate: Rate,
    /// The size of a request's header. A larger one is answered 431. 64KiB by
    /// default.
    pub header_size: Size,
    /// The number of fields in a request's header, up to 256. More are answered
    /// 431. 100 by default.
    pub header_count: Count,
    /// The size of a request's body. A larger one is answered 413, before it is sent
    /// where its length is known. 100MiB by default. Bodies are passed on as they
    /// come, so this spares backends, not memory.
    pub body_size: Size,
    /// The number of connections at one time, over all listeners. Past it, new ones
    /// are answered 503. 10000 by default. Each has a second file descriptor in
    /// reserve, for its backend, so that fewer are let in where the system allows too
    /// few descriptors.
    pub connections: Count,
    /// The number of connections at one time from one IPv4 address or one IPv6 /64
    /// network. Past it, new ones are answered 503. Peers in `trusted_proxies` are
    /// exempt, since they bring many clients. 1000 by default.
    pub connections_per_address: Count,
    /// The number of requests after which a connection is closed. 1000 by default.
    pub requests_per_connection: Count,
    /// The number of requests at one time on one HTTP/2 connection. 100 by default.
    pub http2_streams: Count,
    /// How long an HTTP/2 connection may have no request. 60s by default.
    pub http2_idle_timeout: Span,
    /// The number of requests that a client may abandon on one HTTP/2 connection
    /// before it is closed. 50 by default.
    pub http2_resets: Count,
}

/// A least rate in bytes a second, written like `500B`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(Option<Size>);

written_as_string!(Rate, "Rate", "Bytes a second, or \"off\" for no least rate", "500B");

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(60),
            handshake_timeout: Span::from_secs(10),
            body_timeout: Span::from_secs(30),
            body_rate: Rate(Some(Size::from_bytes(500))),
            write_timeout: Span::from_secs(60),
            answer_rate: Rate(Some(Size::from_bytes(500))),
            header_size: Size::from_kib(64),
            header_count: Count::new(100),
            body_size: Size::from_kib(100 * 1024),
            connections: Count::new(10_000),
            connections_per_address: Count::new(1000),
            requests_per_connection: Count::new(1000),
            http2_streams: Count::new(100),
            http2_idle_timeout: Span::from_secs(60),
            http2_resets: Count::new(50),
        }
    }
}

// === impl Rate ===

impl Rate {
    /// No least rate.
    pub const OFF: Self = Self(None);

    /// Bytes a second, if there is a least rate.
    pub fn get(self) -> Option<u64> {
        self.0.map(Size::get)
    }
}

impl FromStr for Rate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|size| Self(Some(size))).map_err(|_| {
            Invalid(format!("\"{text}\" is no rate: write bytes a second, like 500B, or off"))
        })
    }
}

impl TryFrom<String> for Rate {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_can_be_turned_off() {
        let limits: Limits = toml::from_str("body_rate = 'off'\nanswer_rate = '1KiB'").unwrap();
        assert_eq!((limits.body_rate.get(), limits.answer_rate.get()), (None, Some(1024)));
        assert_eq!(Limits::default().body_rate.get(), Some(500));
        for text in ["body_rate = '0B'", "body_rate = 'fast'", "body_rate = 500"] {
            assert!(toml::from_str::<Limits>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_written_back_as_they_were_read() {
        let text = toml::to_string(&Limits::default()).unwrap();
        assert_eq!(toml::from_str::<Limits>(&text).unwrap(), Limits::default());
    }
}
