//! Distributed traces (W3C Trace Context).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distributed traces (W3C Trace Context): `traceparent` and `tracestate` of a client
/// are passed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Begins a trace for a request that comes without a `traceparent`, or with one
    /// that is not valid, which is replaced then.
    pub begin: bool,
    /// Whether a trace that is begun here says that it is recorded. Backends whose
    /// tracing follows its parent record every such trace where it says so, and none
    /// where it does not.
    pub sampled: bool,
}

// === impl Trace ===

impl Default for Trace {
    fn default() -> Self {
        Self { begin: true, sampled: false }
    }
}
