//! What a route asks of a request before anything is done with it.
//!
//! Each policy is a file of its own, prepared once from its table in the
//! configuration and shared by the routes that name it. They are asked in one order,
//! the cheapest and least telling first, and the first that refuses decides. What a
//! policy has to say to the client in either case goes into
//! [`RequestContext::answer_fields`].

use std::collections::HashMap;
use std::sync::Arc;

use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::access::Access;
use super::answer::Reason;
use super::auth::{Guard, Guards};
use super::context::RequestContext;
use super::cors::{self, Cors};
use super::metrics::Metrics;
use super::rate_limit::{Limit, Limits};
use crate::config::{self, Config, Misfit, PolicyName};

/// Every policy of a configuration, prepared, by its name.
#[derive(Default)]
pub struct Prepared {
    access: HashMap<PolicyName, Arc<Access>>,
    cors: HashMap<PolicyName, Arc<Cors>>,
    limits: HashMap<PolicyName, Arc<Limit>>,
    auth: Guards,
}

/// The policies of one route, which has some.
pub struct Policies {
    access: Box<[Arc<Access>]>,
    cors: Option<Arc<Cors>>,
    /// Those by the client's address.
    by_address: Limits,
    /// Those by who the client is.
    by_caller: Limits,
    auth: Option<Arc<Guard>>,
}

/// What is done instead of what the route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The request is refused.
    Refuse(Reason),
    /// A browser is told what it may send.
    Preflight,
}

impl From<Reason> for Instead {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
}

// === impl Prepared ===

impl Prepared {
    /// Prepares all policies. What has not changed since `earlier` is taken over,
    /// with what it has counted. What they decide is shown by their names.
    ///
    /// # Errors
    ///
    /// A file that a policy names cannot be used.
    pub fn new(config: &Config, earlier: Option<&Self>, metrics: &Metrics) -> Result<Self, Misfit> {
        let known = earlier.map(|earlier| &earlier.auth);
        let auth = Guards::load(config, known, metrics)?;
        auth.report(known);
        let access = config.access.iter();
        let access = access.map(|(name, written)| {
            let decisions = metrics.access(name.as_str());
            (name.clone(), Arc::new(Access::new(written, decisions)))
        });
        let limits = config.rate_limit.iter().map(|(name, written)| {
            let known = earlier.and_then(|earlier| earlier.limits.get(name));
            let limit = match known.filter(|known| known.is_of(written)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Limit::new(name, written).shown(metrics)),
            };
            (name.clone(), limit)
        });
        let cors = config.cors.iter();
        let cors = cors.map(|(name, written)| (name.clone(), Arc::new(Cors::new(written))));
        Ok(Self { access: access.collect(), cors: cors.collect(), limits: limits.collect(), auth })
    }
}

/// Those that a route names; the configuration has been validated, so each is known.
fn named<T>(names: &[String], known: &HashMap<PolicyName, Arc<T>>) -> Box<[Arc<T>]> {
    names.iter().filter_map(|name| known.get(name.as_str())).cloned().collect()
}

// === impl Policies ===

impl Policies {
    /// Those that a route names, if it names any.
    pub fn new(route: &config::Route, prepared: &Prepared) -> Option<Self> {
        let auth = route.auth.as_ref().and_then(|name| prepared.auth.get(name));
        let limits = named(&route.rate_limit, &prepared.limits);
        let (by_caller, by_address): (Vec<_>, Vec<_>) =
            limits.into_iter().partition(|limit| limit.needs_caller());
        let policies = Self {
            access: named(&route.access, &prepared.access),
            cors: route.cors.as_deref().and_then(|name| prepared.cors.get(name)).cloned(),
            by_address: Limits::new(by_address),
            by_caller: Limits::new(by_caller),
            auth: auth.cloned(),
        };
        let none = policies.access.is_empty()
            && policies.cors.is_none()
            && policies.by_address.is_empty()
            && policies.by_caller.is_empty()
            && policies.auth.is_none();
        (!none).then_some(policies)
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    ///
    /// What is done instead.
    pub async fn admit(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<(), Instead> {
        if !self.access.iter().all(|access| access.admits(context.client)) {
            return Err(Reason::Forbidden.into());
        }
        if self.cors.is_some() && cors::is_preflight(session.req_header()) {
            // It carries no credentials, and asks nothing of the backend.
            return Err(Instead::Preflight);
        }
        self.by_address.admit(session.req_header(), context).await?;
        if let Some(guard) = &self.auth {
            guard.admit(session, context).await?;
        }
        self.by_caller.admit(session.req_header(), context).await?;
        Ok(())
    }

    /// Says in an answer, whoever gives it, what policies say in all of them.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    pub fn speak(
        &self,
        request: &RequestHeader,
        answer: &mut ResponseHeader,
    ) -> pingora::Result<()> {
        self.cors.as_ref().map_or(Ok(()), |cors| cors.speak(request, answer))
    }

    /// Takes out of what a backend receives what is none of its business.
    ///
    /// # Errors
    ///
    /// None that is known of.
    pub fn conceal(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        self.auth.as_ref().map_or(Ok(()), |guard| guard.conceal(request))
    }
}
