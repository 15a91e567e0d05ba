//! Why a request got no complete answer.

use std::error::Error;
use std::fmt;
use std::io;

use serde::Serialize;

/// The kinds of failure, by what a person would look at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// No TCP connection: refused, unreachable, or a name that does not resolve.
    Connect,
    /// The time limit ran out before the answer was complete.
    Timeout,
    /// The connection was closed or reset before the answer was complete.
    Reset,
    /// TLS could not be agreed on, or the certificate was not accepted.
    Tls,
    /// What came back is not the HTTP that was asked for.
    Protocol,
}

impl FailureKind {
    /// The word for it in JSON and in tables of both languages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
        }
    }
}

/// A request that got no complete answer.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// What happened, in English, in the words of the layer that noticed.
    pub message: String,
    /// The connection was refused: nothing listens there.
    #[serde(skip)]
    pub refused: bool,
}

const NO_HTTP2: &str = " (if the server does not speak HTTP/2 here, leave --http2 out)";

// === impl Failure ===

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), refused: false }
    }

    /// No TCP connection to `authority`.
    pub(super) fn connect(authority: &str, error: &io::Error) -> Self {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let message = format!("cannot connect to {authority}: {error}");
        Self { kind: FailureKind::Connect, message, refused }
    }

    /// The TLS handshake failed, whatever layer noticed.
    pub(super) fn handshake(error: &io::Error) -> Self {
        let hint = match rustls_cause(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                " (--insecure accepts any certificate; SSL_CERT_FILE names a file of trusted ones)"
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                " (that is no TLS; if the server speaks plain HTTP there, use http://)"
            }
            _ => "",
        };
        Self::new(FailureKind::Tls, format!("the TLS handshake failed: {}{hint}", chain(error)))
    }

    /// A new connection that broke before it brought an answer. A server without
    /// HTTP/2 may close on its preface, so that its refusal is lost on the way.
    pub(super) fn first_exchange(error: &hyper::Error, http2: bool) -> Self {
        let mut failure = Self::exchange(error, http2);
        if http2 && failure.kind == FailureKind::Reset {
            failure.message.push_str(NO_HTTP2);
        }
        failure
    }

    /// A failure after the connection stood. `http2` says which protocol was
    /// spoken, for the hint.
    pub(super) fn exchange(error: &hyper::Error, http2: bool) -> Self {
        let kind = kind_of_exchange(error);
        let hint = match kind {
            FailureKind::Protocol if http2 => NO_HTTP2,
            FailureKind::Protocol if error.is_parse_version_h2() => {
                " (the server speaks HTTP/2 here; use --http2)"
            }
            FailureKind::Protocol if error.is_parse() => {
                " (if the server speaks TLS here, use https://)"
            }
            _ => "",
        };
        Self::new(kind, format!("{}{hint}", chain(error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.message)
    }
}

/// The layers report the same event each in its own way: hyper for framing,
/// h2 for streams, rustls for alerts, the socket for resets. The innermost
/// that says something definite decides.
fn kind_of_exchange(error: &hyper::Error) -> FailureKind {
    if rustls_cause(error).is_some() {
        return FailureKind::Tls;
    }
    if let Some(error) = find::<h2::Error>(error) {
        // A library error is h2's own verdict on bytes that break RFC 9113.
        // A stream or a connection that the peer gave up (RST_STREAM, GOAWAY)
        // is to HTTP/2 what a reset is to TCP.
        let given_up = error.is_io() || (error.is_remote() && !error.is_library());
        return if given_up { FailureKind::Reset } else { FailureKind::Protocol };
    }
    if error.is_parse() {
        return FailureKind::Protocol;
    }
    if let Some(error) = find::<io::Error>(error) {
        return match error.kind() {
            // hyper reports a malformed chunk as an error in the data.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => FailureKind::Protocol,
            _ => FailureKind::Reset,
        };
    }
    let ended = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if ended { FailureKind::Reset } else { FailureKind::Protocol }
}

fn rustls_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    find::<rustls::Error>(error)
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // `io::Error::source` skips the error it wraps and gives that one's
        // source, so the wrapped one is asked for by name.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The error and its causes in one line, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_wrapped_in_io_errors_is_found() {
        let alert = rustls::Error::HandshakeNotComplete;
        let once = io::Error::new(io::ErrorKind::InvalidData, alert);
        let twice = io::Error::other(once);
        assert!(rustls_cause(&twice).is_some());
        assert!(rustls_cause(&io::Error::other("plain")).is_none());
    }

    #[test]
    fn only_a_refused_connection_is_called_refused() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let unreachable = io::Error::from(io::ErrorKind::HostUnreachable);
        assert!(Failure::connect("127.0.0.1:1", &refused).refused);
        assert!(!Failure::connect("127.0.0.1:1", &unreachable).refused);
    }
}
