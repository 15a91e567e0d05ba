//! How a new process takes over from a running one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// How a new process takes over from a running one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upgrade {
    /// The Unix socket over which `serve --upgrade` takes the listeners of the running
    /// process; only its own user and root can connect. Without it, there are no
    /// upgrades.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// How long the old process keeps connections of clients that have no request. A
    /// request that comes in that time is answered, and its connection closed after
    /// it.
    pub idle: Span,
}

// === impl Upgrade ===

impl Default for Upgrade {
    fn default() -> Self {
        Self { socket: None, idle: Span::from_secs(5) }
    }
}
