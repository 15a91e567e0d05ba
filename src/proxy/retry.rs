//! Whether a failed request may be sent again, and what it failed with.
//!
//! - The connection was refused or not made in time: nothing was sent, so any
//!   request may go to the next backend.
//! - The connection broke later: the backend may have acted on the request, so
//!   it is sent again only if its method is idempotent (RFC 9110, section
//!   9.2.2), its body can be replayed whole, and no answer has begun.
//! - A limit passed after the request was sent: never. The backend may still be
//!   at work on it, and trying elsewhere would add load where there is too much.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;

use super::answer::{self, Reason};
use super::framing;

/// Whether a request that may have reached a backend may be sent again.
pub fn may_repeat(session: &Session, error: &Error) -> bool {
    !answer::has_begun(session)
        && *error.esource() == ErrorSource::Upstream
        && matches!(
            error.etype(),
            ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
        )
        && session.req_header().method.is_idempotent()
        && !session.as_ref().retry_buffer_truncated()
}

/// The reason to give the client for a failed try.
pub fn reason(error: &Error) -> Reason {
    use ErrorType as E;
    match (error.esource(), error.etype()) {
        (_, E::Custom(name)) if *name == TOTAL_LIMIT => Reason::TotalTimeout,
        (_, E::Custom(name)) if *name == framing::BODY_LIMIT => Reason::BodyTooLarge,
        (ErrorSource::Downstream, E::ReadError | E::WriteError) => client_failed(error),
        // A request of HTTP/2 that the client takes back is an error of that protocol.
        (ErrorSource::Downstream, E::ConnectionClosed | E::H2Error) => Reason::ClientClosed,
        (ErrorSource::Downstream, E::ReadTimedout | E::WriteTimedout) => Reason::ClientTimeout,
        (ErrorSource::Downstream, _) => Reason::BadRequest,
        (_, E::ConnectTimedout | E::TLSHandshakeTimedout) => Reason::ConnectTimeout,
        (_, E::ReadTimedout) => Reason::ReadTimeout,
        (_, E::WriteTimedout) => Reason::WriteTimeout,
        (
            _,
            E::ConnectRefused | E::ConnectNoRoute | E::ConnectError | E::SocketError | E::BindError,
        ) => Reason::ConnectFailed,
        (_, E::TLSHandshakeFailure | E::InvalidCert | E::HandshakeError) => Reason::TlsFailed,
        (ErrorSource::Upstream, E::ConnectionClosed | E::ReadError | E::WriteError) => {
            Reason::ConnectionBroken
        }
        (ErrorSource::Upstream, _) => Reason::InvalidAnswer,
        _ => Reason::Internal,
    }
}

/// What a client that could not be read from, or written to, did wrong, if anything: its
/// connection says so by the kind of the error.
fn client_failed(error: &Error) -> Reason {
    let cause = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    match cause {
        Some(io::ErrorKind::TimedOut) => Reason::ClientTimeout,
        Some(io::ErrorKind::InvalidData) => Reason::BadRequest,
        _ => Reason::ClientClosed,
    }
}

/// The type of the error that a request past its total limit ends with.
pub const TOTAL_LIMIT: &str = "TotalLimit";

/// The innermost cause of an error, in a few words.
pub fn cause(error: &Error) -> String {
    match error.root_etype() {
        ErrorType::ConnectRefused => "connection refused".to_owned(),
        ErrorType::ConnectTimedout => "no connection in time".to_owned(),
        ErrorType::TLSHandshakeFailure => handshake_cause(&error.to_string()).to_owned(),
        etype => {
            let cause = error.root_cause();
            if cause.is::<Error>() || cause.is::<Box<Error>>() {
                etype.as_str().to_owned()
            } else {
                cause.to_string()
            }
        }
    }
}

/// What rustls says, out of what Pingora makes of it: a chain of causes, which the name
/// that was asked for and the address that was asked from follow.
fn handshake_cause(chain: &str) -> &str {
    let chain = chain.split_once(", SNI: ").map_or(chain, |(chain, _)| chain);
    chain.rsplit_once("cause: ").map_or(chain, |(_, last)| last).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_passed_is_a_timeout_and_a_refusal_is_not() {
        let up = |etype| reason(&Error::new_up(etype));
        assert_eq!(up(ErrorType::ReadTimedout), Reason::ReadTimeout);
        assert_eq!(up(ErrorType::ConnectTimedout), Reason::ConnectTimeout);
        assert_eq!(up(ErrorType::ConnectRefused), Reason::ConnectFailed);
        assert_eq!(up(ErrorType::ConnectionClosed), Reason::ConnectionBroken);
        assert_eq!(up(ErrorType::InvalidHTTPHeader), Reason::InvalidAnswer);
        let total = Error::new_in(ErrorType::Custom(TOTAL_LIMIT));
        assert_eq!(reason(&total), Reason::TotalTimeout);
        assert_eq!(reason(&Error::new_down(ErrorType::ReadError)), Reason::ClientClosed);
    }

    #[test]
    fn the_cause_of_a_failed_handshake_is_what_tls_says() {
        let inner = Error::because(
            ErrorType::TLSHandshakeFailure,
            "tls connect error",
            io::Error::other("invalid peer certificate: Expired"),
        );
        let said = format!("TLS connect() failed: {inner}, SNI: a.test");
        let from = io::Error::other("local address 127.0.0.1:1");
        let error = Error::because(ErrorType::TLSHandshakeFailure, said, from);
        assert_eq!(cause(&error), "invalid peer certificate: Expired");
        assert_eq!(reason(&error), Reason::TlsFailed);
    }

    #[test]
    fn a_cause_is_the_innermost() {
        let io = std::io::Error::other("the wire is cut");
        let error = Error::because(ErrorType::ConnectError, "connecting", io);
        assert_eq!(cause(&error), "the wire is cut");
        assert_eq!(cause(&Error::new(ErrorType::ConnectRefused)), "connection refused");
        assert_eq!(cause(&Error::new(ErrorType::H1Error)), ErrorType::H1Error.as_str());
    }
}
