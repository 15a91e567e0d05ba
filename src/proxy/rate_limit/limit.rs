//! What the rate limits of a route say of a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora::http::RequestHeader;

use super::fields;
use super::gcra::{Gcra, Outcome};
use super::key::{Key, Keys};
use super::store::{Memory, Store};
use crate::config::{self, LimitBy, LimitFields, PolicyName};
use crate::proxy::answer::Reason;
use crate::proxy::context::RequestContext;
use crate::proxy::metrics::Metrics;
use crate::proxy::metrics::policy::Decisions;

/// One policy, with what it has counted.
#[derive(Debug)]
pub struct Limit<S = Memory> {
    written: config::RateLimit,
    name: PolicyName,
    gcra: Gcra,
    keys: Keys,
    store: S,
    /// What times are counted from.
    epoch: Instant,
    /// `RateLimit-Policy`.
    policy: HeaderValue,
    decisions: Option<Arc<Decisions>>,
}

/// Limits that are asked together.
#[derive(Debug)]
pub struct Limits<S = Memory>(Box<[Arc<Limit<S>>]>);

// === impl Limit ===

impl Limit {
    /// Prepares a policy, with nothing counted.
    pub fn new(name: &PolicyName, written: &config::RateLimit) -> Self {
        let clients = usize::try_from(written.clients.get()).unwrap_or(usize::MAX);
        Self::with_store(name, written, Memory::new(clients))
    }
}

impl<S: Store> Limit<S> {
    /// Prepares a policy that keeps its counts there.
    pub fn with_store(name: &PolicyName, written: &config::RateLimit, store: S) -> Self {
        Self {
            written: written.clone(),
            name: name.clone(),
            gcra: Gcra::new(written),
            keys: Keys::default(),
            store,
            epoch: Instant::now(),
            policy: fields::policy(name, written),
            decisions: None,
        }
    }

    /// The same, with its decisions counted for whoever looks after the process.
    pub fn shown(self, metrics: &Metrics) -> Self {
        Self { decisions: metrics.rate_limit(self.name.as_str()), ..self }
    }

    /// Whether it is this policy, and so may go on with what it has counted.
    pub fn is_of(&self, written: &config::RateLimit) -> bool {
        self.written == *written
    }

    /// What the client is proves to be only when it has been asked for credentials:
    /// before that, anybody could use up what is another's.
    pub fn needs_caller(&self) -> bool {
        !matches!(self.written.by, LimitBy::ClientAddress)
    }

    fn key(&self, request: &RequestHeader, context: &RequestContext) -> Key {
        let text = match &self.written.by {
            LimitBy::ClientAddress => None,
            LimitBy::Header(name) => request.headers.get(&name.0).map(HeaderValue::as_bytes),
            LimitBy::Identity => context.identity.as_ref().map(|who| who.user().as_bytes()),
        };
        match text {
            Some(text) => self.keys.of_text(text),
            None => Keys::of_address(context.client),
        }
    }

    /// When the request came, as the store counts.
    fn now(&self, context: &RequestContext) -> u64 {
        let since = context.started.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn decided(&self, within: bool) {
        if let Some(decisions) = &self.decisions {
            decisions.decided(within);
        }
    }

    fn refuse(&self, wait: Duration, context: &mut RequestContext) {
        self.decided(false);
        let seconds = fields::seconds(wait);
        context.answer_fields.push((http::header::RETRY_AFTER, seconds.into()));
        if self.written.fields != LimitFields::None {
            self.tell(0, seconds, context);
        }
    }

    fn tell(&self, left: u64, seconds: u64, context: &mut RequestContext) {
        context.answer_fields.push((fields::POLICY, self.policy.clone()));
        context.answer_fields.push((fields::STATE, fields::state(&self.name, left, seconds)));
    }
}

// === impl Limits ===

impl<S: Store> Limits<S> {
    /// Asks these.
    pub fn new(limits: impl IntoIterator<Item = Arc<Limit<S>>>) -> Self {
        Self(limits.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a request if all have room. What one refuses, the others do not count;
    /// but where two requests of a client ask at the same moment for what is room for
    /// one, a limit may count the one that another refuses.
    ///
    /// # Errors
    ///
    /// One has no room. The client is told of the one that it has to wait for
    /// longest.
    pub async fn admit(
        &self,
        request: &RequestHeader,
        context: &mut RequestContext,
    ) -> Result<(), Reason> {
        // One alone decides and counts in one step.
        if self.0.len() > 1 {
            let mut longest: Option<(&Limit<S>, Duration)> = None;
            for limit in &self.0 {
                let (key, now) = (limit.key(request, context), limit.now(context));
                if let Outcome::Full { wait } = limit.store.look(&limit.gcra, key, now).await
                    && longest.is_none_or(|(_, other)| other < wait)
                {
                    longest = Some((limit, wait));
                }
            }
            if let Some((limit, wait)) = longest {
                limit.refuse(wait, context);
                return Err(Reason::RateLimited);
            }
        }
        for limit in &self.0 {
            let (key, now) = (limit.key(request, context), limit.now(context));
            match limit.store.take(&limit.gcra, key, now).await {
                Outcome::Room { until } if limit.written.fields == LimitFields::All => {
                    limit.decided(true);
                    let whole = Duration::from_nanos(until.saturating_sub(now));
                    limit.tell(limit.gcra.left(until, now), fields::seconds(whole), context);
                }
                Outcome::Room { .. } => limit.decided(true),
                Outcome::Full { wait } => {
                    limit.refuse(wait, context);
                    return Err(Reason::RateLimited);
                }
            }
        }
        Ok(())
    }
}
