//! How a backend is chosen, and who waits while there is none.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::written::written_as_string;
use crate::config::{Invalid, Span};

/// How a backend is chosen for a request, out of those that are healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight; turns of a heavy backend are spread out evenly.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one with fewer requests in flight out of two that are drawn by weight.
    LeastRequests,
    /// Requests with the same key go to the same backend (Ketama); when one
    /// leaves, only its keys move.
    ConsistentHash,
}

/// What requests that belong together have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HashBy {
    /// The client's address.
    #[default]
    ClientAddress,
    /// The path, without the query.
    Path,
    /// The first field of this name; the client's address where there is none.
    Header(FieldName),
    /// The cookie of this name; the client's address where there is none.
    Cookie(String),
}

/// The name of a header field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FieldName(pub HeaderName);

written_as_string!(FieldName, "FieldName", "The name of a header field", "x-user");

/// Requests that wait for a backend to have room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// How many requests may wait; further ones are answered 503 at once.
    pub length: usize,
    /// How long one may wait before it is answered 503.
    pub timeout: Span,
}

// === impl FieldName ===

impl TryFrom<String> for FieldName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        HeaderName::from_bytes(text.as_bytes())
            .map(Self)
            .map_err(|_| Invalid(format!("\"{text}\" is no header field name")))
    }
}

impl std::fmt::Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

// === impl Queue ===

impl Default for Queue {
    fn default() -> Self {
        Self { length: 100, timeout: Span::from_secs(1) }
    }
}
