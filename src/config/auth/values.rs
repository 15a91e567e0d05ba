//! The single values of policies that say who may.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::written::written_as_string;
use crate::config::{FieldName, Invalid};

/// An algorithm of signatures (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum JwtAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// What clients are told that they need a login for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Realm(String);

written_as_string!(Realm, "Realm", "Printable ASCII without \" and \\", "Staff only");

/// A field by which the backend is told of the user, and which clients cannot send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IdentityField(pub HeaderName);

written_as_string!(IdentityField, "IdentityField", "The name of a header field", "x-auth-user");

/// The name of a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CookieName(String);

written_as_string!(CookieName, "CookieName", "The name of a cookie", "session");

/// By how much clocks may differ, from 0s to 10 minutes, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Leeway(Duration);

written_as_string!(Leeway, "Leeway", "A length of time, from 0s to 10m", "30s");

/// Fields that clients must be able to send, or that the proxy sets for another reason.
const OTHERS: [&str; 17] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "origin",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-request-id",
];

// === impl JwtAlgorithm ===

impl JwtAlgorithm {
    /// Whether it is verified with the secret that it is signed with.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

// === impl Realm ===

impl Realm {
    /// The text, which can stand between quotes as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("restricted".to_owned())
    }
}

impl TryFrom<String> for Realm {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let fine = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        if text.bytes().all(fine) {
            Ok(Self(text))
        } else {
            Err(Invalid(format!("{text:?} is no realm: use printable ASCII without \" and \\")))
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl IdentityField ===

impl Default for IdentityField {
    fn default() -> Self {
        Self(HeaderName::from_static("x-auth-user"))
    }
}

impl TryFrom<String> for IdentityField {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let FieldName(name) = FieldName::try_from(text)?;
        let text = name.as_str();
        if OTHERS.contains(&text) || text.starts_with("x-forwarded-") {
            return Err(Invalid(format!(
                "\"{name}\" has another meaning already: use a field of your own, like x-auth-user"
            )));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for IdentityField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

// === impl CookieName ===

impl CookieName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CookieName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        // A token (RFC 6265, section 4.1.1); but for upper case, as in a field's name.
        if !text.is_empty() && HeaderName::from_bytes(text.as_bytes()).is_ok() {
            Ok(Self(text))
        } else {
            Err(Invalid(format!("\"{text}\" is no name of a cookie: write one like session")))
        }
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Leeway ===

impl Leeway {
    /// The length of time in whole seconds.
    pub fn as_secs(self) -> u64 {
        self.0.as_secs()
    }
}

impl Default for Leeway {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl TryFrom<String> for Leeway {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        humantime::parse_duration(&text)
            .ok()
            .filter(|time| *time <= Duration::from_secs(600) && time.subsec_nanos() == 0)
            .map(Self)
            .ok_or_else(|| {
                Invalid(format!("\"{text}\" is no leeway: write whole seconds from 0s to 10m"))
            })
    }
}

impl fmt::Display for Leeway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}
