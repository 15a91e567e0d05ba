//! How a request ended: what its log and its metrics say of it.

use std::time::Duration;

use pingora::Error;
use pingora_proxy::Session;

use super::answer::Reason;
use super::context::RequestContext;
use super::retry;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status that was sent, or the one that says why none was; 0 if nothing is
    /// known.
    pub status: u16,
    /// Why the proxy itself answered, or why the answer broke off.
    pub reason: Option<Reason>,
    /// From the end of the request's header to the end of the answer.
    pub took: Duration,
}

// === impl Outcome ===

impl Outcome {
    /// How a request ended that will not be touched any more.
    pub fn of(session: &Session, error: Option<&Error>, context: &RequestContext) -> Self {
        let reason = context.failure.or_else(|| error.map(retry::reason));
        let status = match (session.response_written(), reason) {
            (Some(answer), _) => answer.status.as_u16(),
            (None, Some(reason)) => reason.logged_status(),
            (None, None) => 0,
        };
        Self { status, reason, took: context.duration() }
    }
}
