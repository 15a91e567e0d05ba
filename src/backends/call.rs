//! One request as the handlers see it: whole, with its body.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use bytes::Bytes;

/// A received request; the extractor that the handlers take.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The address that the connection came from.
    pub peer: IpAddr,
}

/// What a router cannot know by itself: left in the request's extensions by
/// the frontage.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub body: Bytes,
    pub peer: SocketAddr,
}

/// Names and values in the order of the wire.
pub(super) type Pairs = Vec<(String, String)>;

impl Call {
    /// The header's first value, if it is there and text.
    pub fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The parameters of the query, decoded.
    pub fn args(&self) -> Pairs {
        parse_pairs(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// The first parameter of this name.
    pub fn arg(&self, name: &str) -> Option<String> {
        let mut args = form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        args.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The content type without its parameters, in lower case.
    pub fn media_type(&self) -> String {
        let value = self.header(header::CONTENT_TYPE).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The `Host` that the client named.
    pub fn host(&self) -> &str {
        self.header(header::HOST).unwrap_or("localhost")
    }

    /// Path and query, as they were sent.
    pub fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// Every value of the header, each split at its commas.
    pub fn list(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
    }
}

/// Decodes `application/x-www-form-urlencoded`.
pub(super) fn parse_pairs(encoded: &[u8]) -> Pairs {
    form_urlencoded::parse(encoded).into_owned().collect()
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let received = parts.extensions.get::<Received>();
        let (body, peer) = received.map_or_else(
            || (Bytes::new(), IpAddr::V4(Ipv4Addr::LOCALHOST)),
            |received| (received.body.clone(), received.peer.ip()),
        );
        Ok(Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            body,
            peer,
        })
    }
}
