//! What a backend says about one exchange: the headers that it received and
//! the headers that it sent.
//!
//! A client asks with the request header [`OBSERVE`]`: 1`. The backend then
//! answers with [`OBSERVED_REQUEST`] and [`OBSERVED_RESPONSE`], each the
//! unpadded base64url (RFC 4648, section 5) of a compact JSON array of
//! `["name","value"]` pairs. A value whose encoded form is longer than
//! [`LIMIT`] is left out and [`OMITTED`] names it instead, so that a large
//! request never makes a response that a proxy must refuse.
//!
//! ```
//! use pingora_lab::backends::observation::Headers;
//!
//! let seen: Headers = [("host", "httpbin.org"), ("via", "a"), ("via", "b")].into_iter().collect();
//! let value = seen.encode();
//! assert_eq!(Headers::decode(&value).unwrap(), seen);
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName};
use thiserror::Error;

/// Request header that asks for an observation when its value is `1`.
pub const OBSERVE: HeaderName = HeaderName::from_static("x-lab-observe");

/// Response header on every answer: the name of the backend.
pub const BACKEND: HeaderName = HeaderName::from_static("x-lab-backend");

/// Response header: the request headers that the backend received.
pub const OBSERVED_REQUEST: HeaderName = HeaderName::from_static("x-lab-observed-request");

/// Response header: the response headers that the backend sent, without the
/// `x-lab-observed-*` headers themselves.
pub const OBSERVED_RESPONSE: HeaderName = HeaderName::from_static("x-lab-observed-response");

/// Response header: `request`, `response` or `request, response`, whichever
/// was longer than [`LIMIT`] and so is missing.
pub const OMITTED: HeaderName = HeaderName::from_static("x-lab-observed-omitted");

/// The longest encoded value that is sent, in bytes.
pub const LIMIT: usize = 8192;

/// Header fields as one side of an exchange has them: names in lower case,
/// duplicates kept. Fields of one name are in the order of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

/// Why a value is no observation.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The value is not unpadded base64url.
    #[error("not base64url without padding: {0}")]
    Base64(#[from] base64::DecodeError),
    /// What it encodes is not a JSON array of pairs of strings.
    #[error("not a JSON array of [name, value]: {0}")]
    Json(#[from] serde_json::Error),
}

/// Both halves of an observation, encoded and within [`LIMIT`] or left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The value of [`OBSERVED_REQUEST`].
    pub request: Option<String>,
    /// The value of [`OBSERVED_RESPONSE`].
    pub response: Option<String>,
}

// === impl Headers ===

impl Headers {
    /// The value of an `x-lab-observed-*` header; of any length.
    pub fn encode(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| serde_json::json!([name, value]));
        let json = serde_json::Value::Array(pairs.collect()).to_string();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads what [`Headers::encode`] wrote.
    pub fn decode(value: &str) -> Result<Self, DecodeError> {
        let json = URL_SAFE_NO_PAD.decode(value)?;
        Ok(Self(serde_json::from_slice(&json)?))
    }
}

impl From<&HeaderMap> for Headers {
    /// Values that are not UTF-8 are kept lossily, with U+FFFD for what is not.
    fn from(map: &HeaderMap) -> Self {
        map.iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

// === impl Observation ===

impl Observation {
    /// Encodes both halves, each left out if it would be longer than [`LIMIT`].
    pub fn new(request: &Headers, response: &Headers) -> Self {
        let bounded = |headers: &Headers| Some(headers.encode()).filter(|v| v.len() <= LIMIT);
        Self { request: bounded(request), response: bounded(response) }
    }

    /// The value of [`OMITTED`], if anything was.
    pub fn omitted(&self) -> Option<&'static str> {
        match (&self.request, &self.response) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("request"),
            (Some(_), None) => Some("response"),
            (None, None) => Some("request, response"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, LIMIT, Observation};

    fn of_length(value: usize) -> Headers {
        [("x", "v".repeat(value))].into_iter().collect()
    }

    #[test]
    fn the_form_is_base64url_of_compact_json() {
        let headers: Headers = [("host", "a.b"), ("x", "\"中?>\"")].into_iter().collect();
        let value = headers.encode();
        assert_eq!(value, "W1siaG9zdCIsImEuYiJdLFsieCIsIlwi5LitPz5cIiJdXQ");
        assert_eq!(Headers::decode(&value).unwrap(), headers);
    }

    #[test]
    fn what_is_not_an_observation_is_refused() {
        for value in ["===", "W10=", "e30", "W1siYSJdXQ", "W1siYSIsMV1d"] {
            assert!(Headers::decode(value).is_err(), "{value}");
        }
        assert_eq!(Headers::decode("W10").unwrap(), Headers::default());
    }

    #[test]
    fn the_limit_is_on_the_encoded_length() {
        // `[["x","…"]]` is 10 bytes and the value: 6144 bytes encode to 8192.
        let small = of_length(1);
        let largest = of_length(LIMIT / 4 * 3 - 10);
        assert_eq!(largest.encode().len(), LIMIT);
        let too_large = of_length(LIMIT / 4 * 3 - 9);
        assert_eq!(Observation::new(&largest, &small).omitted(), None);
        assert_eq!(Observation::new(&too_large, &small).omitted(), Some("request"));
        assert_eq!(Observation::new(&small, &too_large).omitted(), Some("response"));
        let both = Observation::new(&too_large, &too_large);
        assert_eq!(both.omitted(), Some("request, response"));
        assert_eq!(both, Observation::default());
    }
}
