//! Requests, by the route that they took and the backend that they went to last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::Method;
use prometheus::{Histogram, HistogramOpts};

use super::family;
use super::page::Page;
use super::tally::Tally;
use crate::proxy::outcome::Outcome;

/// The backend of requests that went to none.
pub(super) const NOBODY: &str = "-";

/// What is counted of the requests of one route.
pub struct RouteTraffic {
    totals: Arc<Totals>,
    /// Of those that went to nobody, then of each backend's, in the pool's order.
    backends: Box<[Arc<Traffic>]>,
}

/// All requests of one route.
pub struct Totals {
    durations: Histogram,
    failures: Tally,
}

/// The requests of one route to one backend, by method and status.
#[derive(Default)]
pub struct Traffic([[AtomicU64; STATUSES.len()]; METHODS.len()]);

/// The methods that are told apart. There are others, which any client can invent.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "other"];

/// Where the last of them is.
const OTHER: usize = METHODS.len() - 1;

/// The classes of status codes, and what is none of them: nothing was sent.
const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Seconds, up to which requests are counted together: from what is answered out of
/// memory to what most time limits end.
const BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts how long something takes.
pub(super) fn durations() -> Histogram {
    // The name is given where it is shown.
    let options = HistogramOpts::new("seconds", "Seconds.").buckets(BUCKETS.to_vec());
    Histogram::with_opts(options).expect("a valid name and buckets in order")
}

// === impl RouteTraffic ===

impl RouteTraffic {
    pub(super) fn new(totals: Arc<Totals>, backends: Vec<Arc<Traffic>>) -> Self {
        Self { totals, backends: backends.into() }
    }

    /// A request has ended that went last to a backend, by its place in the pool. Its
    /// method may not be known.
    pub fn ended(&self, backend: Option<usize>, method: Option<&Method>, outcome: &Outcome) {
        let place = backend.map_or(0, |index| index + 1);
        if let Some(traffic) = self.backends.get(place) {
            let class = usize::from(outcome.status / 100).min(STATUSES.len() - 1);
            traffic.0[method.map_or(OTHER, place_of)][class].fetch_add(1, Relaxed);
        }
        self.totals.durations.observe(outcome.took.as_secs_f64());
        if let Some(reason) = outcome.reason {
            self.totals.failures.failed(reason);
        }
    }
}

fn place_of(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        Method::CONNECT => 7,
        _ => OTHER,
    }
}

// === impl Totals ===

impl Totals {
    pub(super) fn new() -> Self {
        Self { durations: durations(), failures: Tally::default() }
    }

    pub(super) fn show(&self, route: &str, page: &mut Page) {
        page.histogram(&family::DURATION, &[route], &self.durations);
        for (reason, count) in self.failures.counted() {
            page.count(&family::FAILURES, &[route, reason], count);
        }
    }
}

// === impl Traffic ===

impl Traffic {
    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| count.load(Relaxed)).sum()
    }

    /// What has happened; what never did has no series.
    pub(super) fn show(&self, route: &str, backend: &str, page: &mut Page) {
        for (method, statuses) in METHODS.iter().zip(&self.0) {
            for (status, count) in STATUSES.iter().zip(statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    page.count(&family::REQUESTS, &[route, backend, method, status], count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::answer::Reason;

    #[test]
    fn methods_and_statuses_that_nobody_foresaw_have_a_place() {
        let backends = vec![Arc::<Traffic>::default(), Arc::default()];
        let route = RouteTraffic::new(Arc::new(Totals::new()), backends);
        let invented = Method::from_bytes(b"BREW").unwrap();
        for (backend, method, status) in [
            (None, &Method::GET, 404),
            (Some(0), &Method::GET, 200),
            (Some(0), &invented, 999),
            (Some(0), &invented, 0),
            (Some(7), &Method::GET, 200),
        ] {
            let reason = (status == 404).then_some(Reason::NoRoute);
            let outcome = Outcome { status, reason, took: Duration::from_millis(3) };
            route.ended(backend, Some(method), &outcome);
        }
        let mut page = Page::default();
        for (name, traffic) in ["-", "a"].iter().zip(&route.backends) {
            traffic.show("r", name, &mut page);
        }
        route.totals.show("r", &mut page);
        let text = page.to_text().unwrap();
        for line in [
            "backend=\"-\",method=\"GET\",status=\"4xx\"} 1",
            "backend=\"a\",method=\"GET\",status=\"2xx\"} 1",
            "backend=\"a\",method=\"other\",status=\"5xx\"} 1",
            "backend=\"a\",method=\"other\",status=\"none\"} 1",
            "route=\"r\",le=\"0.0025\"} 0",
            "route=\"r\",le=\"0.005\"} 5",
            "seconds_count{route=\"r\"} 5",
            "failures_total{route=\"r\",reason=\"no_route\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
