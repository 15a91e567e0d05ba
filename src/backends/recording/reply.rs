//! An answer, and its bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::chunked;

/// An answer. Its header fields are sent as they are spelt, repeats and all;
/// only the fields of its [`Framing`] (and `Connection: close`, see
/// [`Reply::close`]) are added behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
    /// Header fields: name, value.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body. Answers to HEAD, and those with status 1xx, 204 or 304, are
    /// sent without it. Behind 101 it is what is said in the other protocol.
    pub body: Bytes,
    /// How the end of the body is told.
    pub framing: Framing,
    /// Whether the answer says `Connection: close` and the connection is closed
    /// behind it.
    pub close: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding: chunked`, in chunks of this many bytes (at least 1).
    Chunked(usize),
    /// By closing the connection.
    UntilClose,
}

// === impl Reply ===

impl Reply {
    /// An answer with this status, its usual reason phrase and no body.
    pub fn new(status: u16) -> Self {
        let code = http::StatusCode::from_u16(status).ok();
        let reason = code.and_then(|code| code.canonical_reason()).unwrap_or_default();
        Self {
            status,
            reason: reason.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            framing: Framing::ContentLength,
            close: false,
        }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).body(body)
    }

    /// With this reason phrase.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// With one more header field.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With the end of its body told like this.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// With `Connection: close`, and closed behind it.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// The answer to a request with this method, as it goes over the wire.
    pub fn to_bytes(&self, method: &str) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.body.len() + 1024);
        bytes.put_slice(format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).as_bytes());
        for (name, value) in &self.headers {
            bytes.put_slice(name.as_bytes());
            bytes.put_slice(b": ");
            bytes.put_slice(value);
            bytes.put_slice(b"\r\n");
        }
        if self.may_have_a_body() {
            match self.end() {
                Framing::ContentLength => {
                    bytes.put_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
                }
                Framing::Chunked(_) => bytes.put_slice(b"Transfer-Encoding: chunked\r\n"),
                Framing::UntilClose => {}
            }
        }
        if self.close {
            bytes.put_slice(b"Connection: close\r\n");
        }
        bytes.put_slice(b"\r\n");
        if self.may_have_a_body() && method != "HEAD" {
            match self.end() {
                Framing::Chunked(size) => chunked::encode(&self.body, size, &mut bytes),
                Framing::ContentLength | Framing::UntilClose => bytes.put_slice(&self.body),
            }
        }
        bytes.freeze()
    }

    /// Whether the connection has to be closed behind it.
    pub(super) fn ends_the_connection(&self) -> bool {
        self.close || (self.end() == Framing::UntilClose && self.may_have_a_body())
    }

    fn may_have_a_body(&self) -> bool {
        !matches!(self.status, 100 | 102..=199 | 204 | 304)
    }

    /// How its end is told. That of another protocol is the connection's.
    fn end(&self) -> Framing {
        if self.status == 101 { Framing::UntilClose } else { self.framing }
    }
}
