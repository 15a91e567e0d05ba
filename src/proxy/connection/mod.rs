//! A client's connection: what may be waited for on it, and how long.
//!
//! Pingora gives each read of a header a time of its own, so a byte a minute
//! holds a connection for good. A [`Connection`] is the stream that Pingora reads
//! and writes instead of the socket. It knows where the exchange stands, since the
//! phases of the proxy tell it through the [`Dialogue`] that both share, and sets
//! one limit to each whole header, to the time between two requests, to silence
//! and slowness in bodies and answers.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `stream` | what becomes of each read and write |
//! | `dialogue` | where the exchange stands, for the stream and the phases |
//! | `pace`, `timer` | how slow the other side is, and when it is too slow |
//! | `request_line`, [`chunks`] | whether what comes has one reading |
//! | `refusal` | what a client is told that has sent no request yet |
//! | `peer`, `certificate` | who is at the other end |
//!
//! The chunks of a body are looked at as they pass ([`chunks`]): what Pingora's
//! parser takes and RFC 9112 does not would let two servers see two different
//! ends of one request.

mod certificate;
pub mod chunks;
mod dialogue;
mod pace;
mod peer;
mod refusal;
mod request_line;
mod socket;
mod stream;
mod timer;
mod wire;

use std::num::NonZeroU16;

use http::HeaderValue;

use crate::config::{ClientCertificates, Hsts, Limits, Listener};

pub use certificate::ClientCertificate;
pub use dialogue::{BadFraming, Body, Dialogue, OpenStream};
pub use peer::Peer;
pub use refusal::{LINGER, refusal};
pub use socket::Socket;
pub use stream::Connection;
pub use timer::Timer;
pub use wire::Wire;

/// On what terms the connections of one listener are accepted.
#[derive(Debug)]
pub struct Terms {
    /// Whether clients talk TLS.
    pub tls: bool,
    /// Whether clients are asked for certificates.
    pub client_certificates: bool,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// The port of `https` that all requests are sent to, if they are.
    pub redirect_to_https: Option<NonZeroU16>,
    /// `Strict-Transport-Security`, for every answer.
    pub hsts: Option<HeaderValue>,
    /// What clients may take.
    pub limits: Limits,
}

impl Terms {
    /// The terms of a listener.
    pub fn new(listener: &Listener, limits: &Limits) -> Self {
        let hsts = listener.tls.as_ref().and_then(|tls| tls.hsts.as_ref());
        Self {
            tls: listener.tls.is_some(),
            client_certificates: listener
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_certificates != ClientCertificates::None),
            http2: listener.http2,
            redirect_to_https: listener.redirect_to_https,
            hsts: hsts.and_then(hsts_value),
            limits: limits.clone(),
        }
    }
}

fn hsts_value(hsts: &Hsts) -> Option<HeaderValue> {
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    HeaderValue::try_from(format!("max-age={}{subdomains}", hsts.max_age.as_secs())).ok()
}
