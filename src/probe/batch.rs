//! Many requests: how many at a time, and when each begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::Connector;
use super::failure::FailureKind;
use super::observe::Baseline;
use super::plan::Plan;
use super::send::{Record, Sender};

/// How many finished requests may wait to be reported. When the reader is
/// slow, the next requests begin later; none is dropped.
const WAITING_RECORDS: usize = 1024;

/// A worker's pause after a failed connect in a run that is limited by time
/// alone: without it, a run against nothing would send thousands of requests
/// a second.
const PAUSE_AFTER_CONNECT_FAILURE: Duration = Duration::from_millis(100);

/// A batch under way; dropping it ends it.
pub(super) struct Batch {
    pub records: mpsc::Receiver<Record>,
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    plan: Arc<Plan>,
    connector: Connector,
    baseline: Option<Baseline>,
    begun: Instant,
    /// Requests that were given a number.
    taken: AtomicU64,
    /// Requests that were begun.
    started: AtomicU64,
}

// === impl Batch ===

impl Batch {
    /// Starts the workers, on the current runtime.
    pub(super) fn start(plan: Arc<Plan>, connector: Connector, baseline: Option<Baseline>) -> Self {
        let (sender, records) = mpsc::channel(WAITING_RECORDS);
        let count = plan.count.unwrap_or(u64::MAX);
        let shared = Arc::new(Shared {
            plan,
            connector,
            baseline,
            begun: Instant::now(),
            taken: AtomicU64::new(0),
            started: AtomicU64::new(0),
        });
        let mut workers = JoinSet::new();
        for _ in 0..u64::from(shared.plan.concurrency).min(count) {
            workers.spawn(work(Arc::clone(&shared), sender.clone()));
        }
        Self { records, shared, workers }
    }

    /// How long it has been under way.
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.begun.elapsed()
    }

    /// Ends all workers at once; returns how many requests were begun.
    pub(super) async fn stop(&mut self) -> u64 {
        self.workers.shutdown().await;
        self.shared.started.load(Ordering::Relaxed)
    }
}

async fn work(shared: Arc<Shared>, records: mpsc::Sender<Record>) {
    let plan = &shared.plan;
    let mut sender = Sender::new(&shared.connector, &plan.message, plan.timeout, plan.keep_alive);
    while let Some(number) = shared.next().await {
        let record = sender.probe(number, shared.baseline.as_ref()).await;
        let unconnected =
            record.outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Connect);
        if records.send(record).await.is_err() {
            return;
        }
        if unconnected && plan.count.is_none() && plan.rate.is_none() {
            sleep(PAUSE_AFTER_CONNECT_FAILURE).await;
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Waits for the time of the next request and returns its number, from 1;
    /// `None` when there is no further one.
    ///
    /// With a rate, request n is due at (n − 1) / rate seconds. One that is
    /// late, because all workers were busy, is sent as soon as one is free.
    async fn next(&self) -> Option<u64> {
        let ends = self.plan.duration.and_then(|duration| self.begun.checked_add(duration));
        if ends.is_some_and(|ends| Instant::now() >= ends) {
            return None;
        }
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        if self.plan.count.is_some_and(|count| index >= count) {
            return None;
        }
        if let Some(rate) = self.plan.rate {
            // Precision is lost after 2^53 requests only.
            #[allow(clippy::cast_precision_loss)]
            let offset = Duration::try_from_secs_f64(index as f64 / rate).ok()?;
            let due = self.begun.checked_add(offset)?;
            if ends.is_some_and(|ends| due >= ends) {
                return None;
            }
            sleep_until(due).await;
        }
        self.started.fetch_add(1, Ordering::Relaxed);
        Some(index + 1)
    }
}
