//! What a route asks of a request before anything is done with it.
//!
//! Each policy is a file of its own, prepared once from the table of the
//! configuration that the route names. They are asked in one order, the cheapest and
//! least telling first, and the first that refuses decides. What a policy has to say
//! to the client in either case goes into [`RequestContext::answer_fields`].

use std::net::IpAddr;

use pingora_proxy::Session;

use super::answer::Reason;
use super::context::RequestContext;
use super::metrics::Metrics;
use crate::config::{self, Config};

/// The policies of one route.
#[derive(Default)]
pub struct Policies {}

// === impl Policies ===

impl Policies {
    /// Prepares those that the route names; the configuration has been validated, so
    /// each name is known. What they decide is counted by their name.
    pub fn new(_route: &config::Route, _config: &Config, _metrics: &Metrics) -> Self {
        Self {}
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    ///
    /// Why not.
    pub async fn admit(
        &self,
        _session: &mut Session,
        _client: Option<IpAddr>,
        _context: &mut RequestContext,
    ) -> Result<(), Reason> {
        Ok(())
    }
}
