//! What is counted of requests, for Prometheus.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `family` | the names, kinds and meanings of all series |
//! | `page` | one scrape: the series as they are now, as text |
//! | `book` | what is counted by name, for as long as the name is in use |
//! | `tally` | how often each of some words was said |
//! | [`traffic`] | requests by route and backend |
//! | [`upstream`] | tries by backend |
//! | [`policy`] | decisions of policies |
//! | `state` | what is not counted but looked at: health, breakers, queues |
//!
//! Who counts holds a handle that was resolved when the configuration was prepared,
//! so that a request adds to numbers and looks nothing up. A handle lives as long as
//! somebody may count with it: a reload finds the handles of names that stay and
//! goes on counting, and the series of a name that is gone disappear with the last
//! request that goes by the old configuration.
//!
//! Labels are names of the configuration and words of this program. Nothing that a
//! client sends becomes one.

mod book;
pub mod family;
mod page;
pub mod policy;
mod state;
mod tally;
pub mod traffic;
pub mod upstream;

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::process_collector::ProcessCollector;

use super::answer::Reason;
use super::context::InFlight;
use super::snapshot::Snapshot;

use book::Book;
use policy::{AuthResults, Decisions};
use tally::Tally;
use traffic::{RouteTraffic, Totals, Traffic};
use upstream::Upstream;

pub use page::{CONTENT_TYPE, Page};

/// All that is counted in this process; or nothing is.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Books>>);

#[derive(Default)]
struct Books {
    totals: Book<Totals>,
    traffic: Book<Traffic>,
    backends: Book<Upstream>,
    /// Of what was refused before it was known what it is.
    unread: Tally,
    access: Book<Decisions>,
    rate_limits: Book<Decisions>,
    auth: Book<AuthResults>,
    /// Keeps its start time, so it is made once.
    process: Mutex<Option<ProcessCollector>>,
}

// === impl Metrics ===

impl Metrics {
    /// Counts.
    pub fn on() -> Self {
        let books = Books::default();
        *books.process.lock() = Some(ProcessCollector::for_self());
        Self(Some(Arc::new(books)))
    }

    /// Counts nothing, and gives no handles.
    pub fn off() -> Self {
        Self(None)
    }

    /// What is counted of the requests of a route that these backends, in their
    /// order, may answer.
    pub fn route<'a>(
        &self,
        route: &str,
        backends: impl IntoIterator<Item = &'a str>,
    ) -> Option<RouteTraffic> {
        let books = self.0.as_ref()?;
        let of = |backend: &str| books.traffic.get([route, backend], Traffic::default);
        let nobody = of(traffic::NOBODY);
        let backends: Vec<_> =
            std::iter::once(nobody).chain(backends.into_iter().map(of)).collect();
        let totals = books.totals.get([route, ""], Totals::new);
        Some(RouteTraffic::new(totals, backends))
    }

    /// What is counted of the tries at a backend.
    pub fn backend(&self, pool: &str, backend: &str) -> Option<Arc<Upstream>> {
        Some(self.0.as_ref()?.backends.get([pool, backend], Upstream::new))
    }

    /// A request was refused before it could be read.
    pub fn unread(&self, reason: Reason) {
        if let Some(books) = &self.0 {
            books.unread.failed(reason);
        }
    }

    /// What an access list of this name decides.
    pub fn access(&self, policy: &str) -> Option<Arc<Decisions>> {
        Some(self.0.as_ref()?.access.get([policy, ""], Decisions::default))
    }

    /// What a rate limit of this name decides.
    pub fn rate_limit(&self, policy: &str) -> Option<Arc<Decisions>> {
        Some(self.0.as_ref()?.rate_limits.get([policy, ""], Decisions::default))
    }

    /// How those whom this policy asks for credentials fare.
    pub fn auth(&self, policy: &str) -> Option<Arc<AuthResults>> {
        Some(self.0.as_ref()?.auth.get([policy, ""], AuthResults::default))
    }

    /// How many requests a route has had, if they are counted.
    pub fn requests_of(&self, route: &str) -> Option<u64> {
        let traffic = self.0.as_ref()?.traffic.live();
        let of_route = traffic.iter().filter(|([name, _], _)| &**name == route);
        Some(of_route.map(|(_, traffic)| traffic.total()).sum())
    }

    /// The series of requests, backends and policies as they are now; `None` where
    /// nothing is counted.
    pub fn page(&self, snapshot: &Snapshot, in_flight: &InFlight) -> Option<Page> {
        let books = self.0.as_ref()?;
        let mut page = Page::default();
        for ([route, _], totals) in books.totals.live() {
            totals.show(&route, &mut page);
        }
        for ([route, backend], traffic) in books.traffic.live() {
            traffic.show(&route, &backend, &mut page);
        }
        for ([pool, backend], upstream) in books.backends.live() {
            upstream.show(&pool, &backend, &mut page);
        }
        for ([policy, _], decisions) in books.access.live() {
            decisions.show(&family::ACCESS, &policy, "refused", &mut page);
        }
        for ([policy, _], decisions) in books.rate_limits.live() {
            decisions.show(&family::RATE_LIMIT, &policy, "limited", &mut page);
        }
        for ([policy, _], results) in books.auth.live() {
            results.show(&policy, &mut page);
        }
        for (reason, count) in books.unread.counted() {
            page.count(&family::UNREAD, &[reason], count);
        }
        page.add(&family::IN_FLIGHT, &[], in_flight.count() as f64);
        state::show(snapshot, &mut page);
        if let Some(process) = &*books.process.lock() {
            page.add_collected(process);
        }
        Some(page)
    }
}
