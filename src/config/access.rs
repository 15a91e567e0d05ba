//! Which clients may come, by their addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Network;
use super::validate::{Misfit, at, misfit};

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
    /// What is wrong that no single network shows.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        if self.allow.is_empty() && self.deny.is_empty() {
            return Some(misfit(at![], "it lets everybody in: add allow or deny"));
        }
        let denied = |allowed: &Network| {
            self.deny.iter().position(|denied| denied.plain() == allowed.plain())
        };
        let (network, item) =
            self.allow.iter().find_map(|allowed| denied(allowed).map(|item| (allowed, item)))?;
        let message = format!("{network} is allowed and denied: remove one");
        Some(misfit(at!["deny", item], message))
    }
}
