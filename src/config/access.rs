//! Which clients may come, by their addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Network;

/// Which clients may come, by their addresses. The most specific network that a
/// client is in decides, whichever list it is in and wherever it stands. A client
/// that is in none may come, unless `allow` names any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Networks whose clients may come. Where there are any, nobody else may.
    pub allow: Vec<Network>,
    /// Networks whose clients may not.
    pub deny: Vec<Network>,
}

impl Access {
    /// What no single network shows: the key, the item if it is one, and what is
    /// wrong.
    pub(super) fn misfit(&self) -> Option<(&'static str, Option<usize>, String)> {
        if self.allow.is_empty() && self.deny.is_empty() {
            return Some(("", None, "it lets everybody in: add allow or deny".to_owned()));
        }
        let denied = |allowed: &Network| {
            self.deny.iter().position(|denied| denied.plain() == allowed.plain())
        };
        let (network, item) =
            self.allow.iter().find_map(|allowed| denied(allowed).map(|item| (allowed, item)))?;
        Some(("deny", Some(item), format!("{network} is allowed and denied: remove one")))
    }
}
