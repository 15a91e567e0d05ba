//! Who keeps what is left of requests: the access log and the metrics.

use std::net::SocketAddr;
use std::time::Duration;

use pingora_proxy::Session;

use super::access_log::AccessLog;
use super::answer::Reason;
use super::context::RequestContext;
use super::metrics::Metrics;
use super::outcome::Outcome;

/// Sees each request once, when it has ended.
#[derive(Clone)]
pub struct Witness {
    log: Option<AccessLog>,
    metrics: Metrics,
}

// === impl Witness ===

impl Witness {
    /// Writes lines, if they are wanted, and counts, if that is.
    pub fn new(log: Option<AccessLog>, metrics: Metrics) -> Self {
        Self { log, metrics }
    }

    /// A request has ended.
    pub fn ended(&self, session: &Session, outcome: &Outcome, context: &RequestContext) {
        if let Some(traffic) = context.route.as_ref().and_then(|route| route.traffic()) {
            let backend = context.endpoint().map(|endpoint| endpoint.identity.index);
            traffic.ended(backend, Some(&session.req_header().method), outcome);
        }
        // Last: whoever reads the line can rely on the count.
        if let Some(log) = &self.log {
            log.write(session, outcome, context);
        }
    }

    /// A request has ended in a panic, a fault of the proxy's own. No more is known of it
    /// than its context.
    pub fn broke_off(&self, context: &RequestContext) {
        let reason = Reason::Internal;
        let took = context.duration();
        let outcome = Outcome { status: reason.logged_status(), reason: Some(reason), took };
        if let Some(traffic) = context.route.as_ref().and_then(|route| route.traffic()) {
            let backend = context.endpoint().map(|endpoint| endpoint.identity.index);
            traffic.ended(backend, None, &outcome);
        }
        if let Some(log) = &self.log {
            log.write_broken_off(&outcome, context);
        }
    }

    /// A request was refused of which no more is known: its header never became whole,
    /// or is none. It began so long ago.
    pub fn unread(&self, client: Option<SocketAddr>, reason: Reason, took: Duration) {
        self.metrics.unread(reason);
        if let Some(log) = &self.log {
            log.write_unread(client, reason, took);
        }
    }
}
