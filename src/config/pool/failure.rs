//! What happens when backends fail requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StatusCode;
use crate::config::Span;
use crate::config::bounded::{Count, Share};

/// When an address that fails requests is left alone for a while.
///
/// A failure is a connection that is not made or that breaks, an answer that does
/// not come in time, and an answer with one of `statuses`. An address whose
/// breaker is open gets no requests for `open_for`; then one request at a time is
/// let through (half-open), and its outcome closes or opens the breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Whether there is one.
    pub enabled: bool,
    /// Failures in a row that open it.
    pub consecutive_failures: Count,
    /// The share of failures in a `window` that opens it.
    pub failure_rate: Share,
    /// How many requests of a `window` there must be for `failure_rate` to count.
    pub minimum_requests: Count,
    /// The time over which `failure_rate` is taken.
    pub window: Span,
    /// How long it stays open.
    pub open_for: Span,
    /// The share of the pool's addresses that may be left alone by their breakers
    /// at a time, rounded down; further ones stay in use however they fail.
    pub max_ejected: Share,
    /// Status codes of answers that count as failures; none by default, since a
    /// backend that answers is alive.
    pub statuses: Vec<StatusCode>,
}

/// When a request is tried again elsewhere.
///
/// A request that no backend has been sent may always be tried again. One that
/// may have had an effect never is: only idempotent methods (RFC 9110, section
/// 9.2.2) whose body is at hand and whose answer has not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// How many addresses are tried for one request, the first included.
    pub attempts: Count,
    /// Retries of requests that may have reached a backend, as a share of all
    /// requests; above it, failures are answered instead of tried again.
    pub budget: Share,
    /// Such retries a second that are allowed however few requests there are.
    pub budget_floor: u32,
}

// === impl CircuitBreaker ===

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: Count::new(5),
            failure_rate: Share::from_percent(50),
            minimum_requests: Count::new(20),
            window: Span::from_secs(10),
            open_for: Span::from_secs(10),
            max_ejected: Share::from_percent(50),
            statuses: Vec::new(),
        }
    }
}

// === impl Retries ===

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: Count::new(5), budget: Share::from_percent(20), budget_floor: 10 }
    }
}
