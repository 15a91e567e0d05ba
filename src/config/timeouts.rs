//! How long each part of an exchange with a backend may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Time limits of an exchange with a backend; passing one is answered 504.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To open a connection, TLS included.
    pub connect: Span,
    /// Between two pieces of an answer, the first included.
    pub read: Span,
    /// To hand one piece of the request to the backend.
    pub write: Span,
    /// For the header of the answer, over all tries, from the last of the request that
    /// has come: a body may take longer, as long as it comes at `body_rate` on average.
    pub total: Span,
    /// How long an unused connection to a backend is kept.
    pub idle: Span,
    /// How long an upgraded connection (WebSocket) may be silent.
    pub upgraded: Span,
}

/// The limits of one pool, where they differ from those of `[timeouts]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolTimeouts {
    /// To open a connection, TLS included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// Between two pieces of an answer, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Span>,
    /// To hand one piece of the request to the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Span>,
    /// For the header of the answer, over all tries, from the last of the request that
    /// has come: a body may take longer, as long as it comes at `body_rate` on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
    /// How long an unused connection to a backend is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// How long an upgraded connection (WebSocket) may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgraded: Option<Span>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::from_secs(2),
            read: Span::from_secs(30),
            write: Span::from_secs(30),
            total: Span::from_secs(60),
            idle: Span::from_secs(60),
            upgraded: Span::from_secs(60 * 60),
        }
    }
}

impl PoolTimeouts {
    /// These limits, and those of `all` where these say nothing.
    pub fn over(&self, all: &Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.unwrap_or(all.connect),
            read: self.read.unwrap_or(all.read),
            write: self.write.unwrap_or(all.write),
            total: self.total.unwrap_or(all.total),
            idle: self.idle.unwrap_or(all.idle),
            upgraded: self.upgraded.unwrap_or(all.upgraded),
        }
    }
}
