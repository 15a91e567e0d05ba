//! What the phases of one request tell each other.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};

use super::answer::Reason;
use super::auth::Identity;
use super::auth::denial::Denial;
use super::census::Census;
use super::compress::Encoder;
use super::connection::OpenStream;
use super::metrics::upstream::Upstream;
use super::pool::{Endpoint, Target, Ticket};
use super::route::Route;
use super::trace::Trace;
use super::wait;
use super::witness::Witness;
use crate::config::Rate;

/// Begun when a request's header has been read, dropped when its answer has
/// been sent and logged.
pub struct RequestContext {
    /// When the request's header had been read.
    pub started: Instant,
    /// When the last of it that is there by now had come.
    came: Instant,
    /// The connection to the backend that was asked last, and that nobody else uses
    /// meanwhile.
    pub connection: Option<RawFd>,
    /// Whether a backend had not answered when the total time was over.
    pub overdue: bool,
    /// The client's id, if it sent a valid one, else a new one; empty until
    /// the request has been looked at.
    pub request_id: HeaderValue,
    /// Which fields it has that the proxy goes by; none until it has been looked at.
    pub census: Census,
    /// The trace that it belongs to, if any.
    pub trace: Option<Trace>,
    /// What is done with the request; `None` until it has been looked at.
    pub route: Option<Arc<Route>>,
    /// Whether the peer's word about the client is believed.
    pub trusted: bool,
    /// Whose request it is: the peer's, or that of the client whom a trusted proxy
    /// names.
    pub client: Option<IpAddr>,
    /// The path and query to send on, where they are not those that were asked for.
    pub path: Option<String>,
    /// The backends that may answer.
    pub target: Target,
    /// The addresses that were tried and that failed.
    pub tried: Vec<SocketAddr>,
    /// How often a connection to a backend was asked for.
    pub attempts: u32,
    /// When the last of them began.
    pub tried_at: Option<Instant>,
    /// From then to the header of the backend's answer.
    pub upstream_time: Option<Duration>,
    /// The request's place at the address that it went to last.
    pub ticket: Option<Ticket>,
    /// How far the request has come with a kept connection that had gone stale.
    pub stale: Stale,
    /// When an answer of the proxy's own had been sent: what comes after it is
    /// only waiting for the client.
    pub answered: Option<Instant>,
    /// What policies tell the client, whoever answers it.
    pub answer_fields: Vec<(HeaderName, HeaderValue)>,
    /// Who the client is, as far as it has shown it.
    pub identity: Option<Arc<Identity>>,
    /// Why it may not, if it may not.
    pub denial: Option<Denial>,
    /// Compresses the answer's body, where it is compressed.
    pub encoder: Option<Box<Encoder>>,
    /// What the last try failed with.
    pub failure: Option<Reason>,
    /// Whether it has been logged and counted.
    pub seen_off: bool,
    /// Its place on its HTTP/2 connection.
    pub(super) stream: Option<OpenStream>,
    in_flight: InFlightGuard,
}

/// A connection that was kept from an earlier request may have been closed by the
/// backend in the meantime. That says nothing of the backend, so it is asked once
/// more, over a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// No kept connection has failed.
    No,
    /// One has: the next try goes to the same address over a new connection.
    AskAgain,
    /// It did; further failures are the backend's.
    AskedAgain,
}

/// The number of requests that have begun and not ended; whoever drains the
/// process waits for it to be zero.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Counted>);

#[derive(Default)]
struct Counted {
    requests: AtomicUsize,
    leaving: AtomicBool,
    /// Who is told of requests that end in a panic.
    witness: OnceLock<Witness>,
}

struct InFlightGuard(InFlight);

// === impl RequestContext ===

impl RequestContext {
    pub(super) fn new(in_flight: &InFlight) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            came: now,
            connection: None,
            overdue: false,
            request_id: HeaderValue::from_static(""),
            census: Census::default(),
            trace: None,
            route: None,
            trusted: false,
            client: None,
            path: None,
            target: Target::Any,
            tried: Vec::new(),
            attempts: 0,
            tried_at: None,
            upstream_time: None,
            ticket: None,
            stale: Stale::No,
            answered: None,
            answer_fields: Vec::new(),
            identity: None,
            denial: None,
            encoder: None,
            failure: None,
            seen_off: false,
            stream: None,
            in_flight: in_flight.enter(),
        }
    }

    /// The request's route, if it asks anything of the request first.
    pub(super) fn route_with_policies(&self) -> Option<Arc<Route>> {
        self.route.as_ref().filter(|route| route.policies.is_some()).cloned()
    }

    /// Where the request went last.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.ticket.as_ref().map(Ticket::endpoint)
    }

    /// What is counted of the backend that the request went to last, if anything is.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.endpoint()?.identity.metrics.as_deref()
    }

    /// From the end of the request's header to the end of the answer, or to now.
    pub fn duration(&self) -> Duration {
        self.answered.unwrap_or_else(Instant::now).duration_since(self.started)
    }

    /// What is left of the route's total time at a moment; `None` when it is over.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        self.total_limit().checked_sub(now.duration_since(self.came)).filter(|left| !left.is_zero())
    }

    /// Waits for the header of the answer from now on.
    pub fn begin_to_wait(&self) {
        let until = self.came.checked_add(self.total_limit());
        if let (Some(connection), Some(until)) = (self.connection, until) {
            wait::begin(connection, until);
        }
    }

    /// More of the request's body has come, `bytes` of it by now: that a client takes time
    /// for it is not the backend's fault. Says whether it has come in time, which is all
    /// that the total limit gives, and more for what has come at the `least` rate: else who
    /// sends it drop by drop would have a backend to itself for as long as it likes.
    pub fn more_has_come(&mut self, bytes: usize, least: Rate) -> bool {
        self.came = Instant::now();
        let limit = self.total_limit();
        if let Some(until) = self.came.checked_add(limit) {
            wait::extend(until);
        }
        let late = self.came.duration_since(self.started).saturating_sub(limit);
        late.is_zero()
            || least.get().is_none_or(|rate| bytes as f64 >= late.as_secs_f64() * rate as f64)
    }

    fn total_limit(&self) -> Duration {
        self.route.as_ref().map_or(Duration::MAX, |route| route.total_limit())
    }
}

impl Drop for RequestContext {
    /// A request that ends in a panic, which is a fault of the proxy's own, is not seen
    /// off by the phases. Nobody else can say that it was there.
    fn drop(&mut self) {
        if std::thread::panicking()
            && !self.seen_off
            && let Some(witness) = self.in_flight.0.0.witness.get()
        {
            witness.broke_off(self);
        }
    }
}

// === impl InFlight ===

impl InFlight {
    /// How many there are now.
    pub fn count(&self) -> usize {
        self.0.requests.load(Ordering::Acquire)
    }

    /// Has a witness told of requests that end in a panic. The first one stays.
    pub(super) fn watched_by(&self, witness: &Witness) {
        let _ = self.0.witness.set(witness.clone());
    }

    /// Has the answers from now on say that their connections will be closed.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end.
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    fn enter(&self) -> InFlightGuard {
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        InFlightGuard(self.clone())
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}
