//! A request, and its bytes.

use bytes::{BufMut, Bytes, BytesMut};

use crate::backends::recording::chunked;

/// A request. Everything is sent as it is spelt; nothing is added but the field
/// that frames the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// What stands between the method and the version.
    pub target: String,
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor_version: u8,
    /// Header fields: name, value.
    pub headers: Vec<(String, Vec<u8>)>,
    body: Option<Body>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    ContentLength(Bytes),
    Chunked(Bytes, usize),
}

// === impl Request ===

impl Request {
    /// A request without any header field; HTTP/1.1 wants a `Host` (see
    /// [`Client::request`](super::Client::request)).
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            minor_version: 1,
            headers: Vec::new(),
            body: None,
        }
    }

    /// With one more header field.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// For this host instead of the one in its `Host`, if there is one.
    pub fn for_host(mut self, host: Option<&str>) -> Self {
        let named = |(name, _): &&mut (String, Vec<u8>)| name.eq_ignore_ascii_case("host");
        if let (Some(host), Some((_, value))) = (host, self.headers.iter_mut().find(named)) {
            *value = host.as_bytes().to_vec();
        }
        self
    }

    /// With this body, and a `Content-Length` behind the other fields.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(Body::ContentLength(body.into()));
        self
    }

    /// With this body in chunks of `size` bytes (at least 1), and
    /// `Transfer-Encoding: chunked` behind the other fields.
    pub fn chunked(mut self, body: impl Into<Bytes>, size: usize) -> Self {
        self.body = Some(Body::Chunked(body.into(), size));
        self
    }

    /// As HTTP/1.0.
    pub fn http10(mut self) -> Self {
        self.minor_version = 0;
        self
    }

    /// Whether there is a body, be it empty.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The body, without its framing.
    pub(super) fn content(&self) -> Bytes {
        match &self.body {
            None => Bytes::new(),
            Some(Body::ContentLength(body) | Body::Chunked(body, _)) => body.clone(),
        }
    }

    /// The head as it goes over the wire, with the empty line that ends it.
    pub fn head_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        let version = self.minor_version;
        bytes.put_slice(format!("{} {} HTTP/1.{version}\r\n", self.method, self.target).as_bytes());
        for (name, value) in &self.headers {
            bytes.put_slice(name.as_bytes());
            bytes.put_slice(b": ");
            bytes.put_slice(value);
            bytes.put_slice(b"\r\n");
        }
        match &self.body {
            None => {}
            Some(Body::ContentLength(body)) => {
                bytes.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
            }
            Some(Body::Chunked(..)) => bytes.put_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        bytes.put_slice(b"\r\n");
        bytes.freeze()
    }

    /// The whole request as it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::from(self.head_bytes());
        match &self.body {
            None => {}
            Some(Body::ContentLength(body)) => bytes.put_slice(body),
            Some(Body::Chunked(body, size)) => chunked::encode(body, *size, &mut bytes),
        }
        bytes.freeze()
    }
}
