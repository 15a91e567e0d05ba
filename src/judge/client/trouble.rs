//! What there is instead of an answer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

/// What there was instead of a complete answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused,
    /// Nobody accepted or refused the connection.
    #[error("no connection within {} ms", .after.as_millis())]
    ConnectTimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The machine has no such address for a client.
    #[error("no connection from {from}: {reason}")]
    NoSuchAddress {
        /// The address that the connection was to come from.
        from: IpAddr,
        /// Why it can't; the text is the system's.
        reason: String,
    },
    /// There was no connection for another reason; the text is the system's.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection was closed without a byte of an answer.
    #[error("the connection was closed without an answer")]
    EmptyReply,
    /// The connection was reset without a byte of an answer.
    #[error("the connection was reset without an answer")]
    Reset,
    /// No TLS came about.
    #[error("no TLS: {0}")]
    NoTls(NoTls),
    /// HTTP/2 went wrong, of the connection or of the one request; the text says how.
    #[error("HTTP/2 failed: {0}")]
    Http2(String),
    /// The answer began, and did not end.
    #[error("the answer is incomplete: {missing}, then {because}")]
    Incomplete {
        /// What came of it.
        missing: Missing,
        /// Why no more came.
        because: Cut,
        /// The status, if the head came.
        status: Option<u16>,
        /// The bytes of the body that came, or of the head if that is not
        /// complete.
        arrived: Bytes,
    },
    /// Not a byte of an answer came in time.
    #[error("no answer within {} ms", .after.as_millis())]
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
    },
    /// What came is not the head of an HTTP/1 answer.
    #[error("what came is not HTTP/1: {}", .first.escape_ascii())]
    NotHttp {
        /// Its first bytes, at most 64.
        first: Bytes,
    },
    /// The end of the answer's body cannot be told for sure (RFC 9112,
    /// section 6.3).
    #[error("the framing of the answer breaks the rules: {why}")]
    Framing {
        /// The rule.
        why: &'static str,
        /// The status.
        status: u16,
        /// The head as it came.
        raw_head: Bytes,
    },
}

/// Why no TLS came about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoTls {
    /// The server said no, with this alert (RFC 8446, section 6).
    #[error("the server sent the alert {0}")]
    Alert(String),
    /// The server ended the connection and did not say why.
    #[error("the server ended the connection without an alert")]
    Ended,
    /// The handshake did not end.
    #[error("the handshake was not done within {} ms", .0.as_millis())]
    PatienceOver(Duration),
    /// What the server sent is no TLS, or breaks its rules.
    #[error("{0}")]
    Broken(String),
}

/// What came of an answer that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Missing {
    /// A part of the head.
    #[error("{bytes} bytes of its head came")]
    Head {
        /// How many bytes.
        bytes: usize,
    },
    /// The head and a part of the body.
    #[error("{bytes} of {expected} bytes of its body came")]
    Body {
        /// How many bytes.
        bytes: usize,
        /// How many its `Content-Length` promised.
        expected: u64,
    },
    /// The head and a part of a body whose length was not told before.
    #[error("{bytes} bytes of its body came and not its end")]
    BodyOfUnknownLength {
        /// How many bytes.
        bytes: usize,
    },
}

/// Why no more of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Cut {
    /// The connection was closed.
    #[error("the connection was closed")]
    Closed,
    /// The connection was reset.
    #[error("the connection was reset")]
    Reset,
    /// The client's patience was over.
    #[error("nothing more within {} ms", .0.as_millis())]
    PatienceOver(Duration),
}
