//! What a route asks of a request before anything is done with it.
//!
//! Each policy is a file of its own, prepared once from its table in the
//! configuration and shared by the routes that name it. They are asked in one order,
//! the cheapest and least telling first, and the first that refuses decides. What a
//! policy has to say to the client in either case goes into
//! [`RequestContext::answer_fields`].

use std::collections::HashMap;
use std::sync::Arc;

use pingora_proxy::Session;

use super::access::Access;
use super::answer::Reason;
use super::context::RequestContext;
use crate::config::{self, Config, PolicyName};

/// Every policy of a configuration, prepared, by its name.
#[derive(Default)]
pub struct Prepared {
    access: HashMap<PolicyName, Arc<Access>>,
}

/// The policies of one route, which has some.
pub struct Policies {
    access: Box<[Arc<Access>]>,
}

/// What is done instead of what the route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The request is refused.
    Refuse(Reason),
}

impl From<Reason> for Instead {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
}

// === impl Prepared ===

impl Prepared {
    /// Prepares all policies. What has not changed since `earlier` is taken over,
    /// with what it has counted.
    pub fn new(config: &Config, _earlier: Option<&Self>) -> Self {
        let access = config.access.iter();
        let access = access.map(|(name, written)| (name.clone(), Arc::new(Access::new(written))));
        Self { access: access.collect() }
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
        let policies = Self { access: named(&route.access, &prepared.access) };
        (!policies.access.is_empty()).then_some(policies)
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    ///
    /// What is done instead.
    pub async fn admit(
        &self,
        _session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<(), Instead> {
        if !self.access.iter().all(|access| access.allows(context.client)) {
            return Err(Reason::Forbidden.into());
        }
        Ok(())
    }
}
