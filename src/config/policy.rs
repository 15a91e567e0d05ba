//! Names of policies: tables that routes name.

use serde::Deserialize;

use super::Invalid;
use super::written::written_as_string;

/// What a policy is called in routes, logs, metrics and fields of answers: 1 to 64
/// letters, digits and `-_.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PolicyName(String);

written_as_string!(
    PolicyName,
    "PolicyName",
    "The name of a policy: 1 to 64 letters, digits and -_.",
    "office"
);

impl PolicyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for PolicyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PolicyName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(Invalid(format!(
                "{text:?} is no name of a policy: use 1 to 64 letters, digits and -_."
            )))
        }
    }
}

impl std::fmt::Display for PolicyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
