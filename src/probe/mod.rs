//! Request batches: plan, send, observe, report.
//!
//! A batch goes through these rooms in this order:
//!
//! | module | what it decides |
//! | --- | --- |
//! | `plan`, `plan_error` | what is sent, to the last header, before anything is sent; what is wrong with an order |
//! | `batch` | how many at a time, and when each begins |
//! | `send`, `connection`, `tls` | one request, one answer, one connection |
//! | `failure` | why there is no complete answer |
//! | `observe` | what an answer says about the backend, and who says so |
//! | `compare` | what changed between two lists of headers |
//! | `tally` | what the batch adds up to |
//! | `report` | the same facts for a person and for a program |
//!
//! The rule of the house: a fact has a witness, or it is unknown. `docs/probe.md`
//! says which witnesses there are.

mod batch;
mod compare;
mod connection;
mod failure;
mod observe;
mod plan;
mod plan_error;
mod report;
mod send;
mod tally;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

pub use compare::{ChangedHeader, Difference, Header};
pub use failure::{Failure, FailureKind};
pub use observe::{Backend, BackendSource, Baseline, Finding, Unknown, Witness};
pub use plan::{DEFAULT_COUNT, MAX_CONCURRENCY, Order, Plan};
pub use plan_error::PlanError;
pub use report::{Format, View, nothing_listens};
pub use send::{Answered, Record};
pub use tally::{Change, Headers, Seen, Tally};

use batch::Batch;
use connection::Connector;
use plan::Message;
use report::{Progress, Report};
use send::Sender;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// A batch that came to an end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it adds up to.
    pub tally: Tally,
    /// From the first request's beginning to the last one's end.
    pub elapsed: Duration,
    /// Requests that were under way when the person interrupted the batch;
    /// `None` if nobody did.
    pub interrupted: Option<u64>,
}

/// Why a batch could not be carried out or not be reported.
#[derive(Debug)]
pub enum RunError {
    /// TLS cannot be set up on this machine.
    Tls(rustls::Error),
    /// The backend itself did not answer, so there is nothing to compare with.
    Direct {
        /// Its address.
        authority: String,
        /// What happened.
        failure: Failure,
    },
    /// The report cannot be written.
    Output(io::Error),
}

/// Carries a plan out and reports on standard output, with a progress bar on
/// standard error if that is a terminal.
///
/// Ctrl-C ends the batch early; what was done until then is reported.
///
/// # Errors
///
/// See [`RunError`]. A reader that closes standard output early ends the batch
/// and is no error.
pub async fn run(plan: Plan, view: View) -> Result<Finished, RunError> {
    let connector = connector(&plan, &plan.message)?;
    let baseline = match &plan.direct {
        Some(message) => Some(fetch_baseline(&plan, message).await?),
        None => None,
    };
    let plan = Arc::new(plan);
    let mut report = Report::new(view, io::stdout());
    let mut progress = Progress::new(&plan, view.language);
    let mut tally = Tally::default();

    let mut written = report.begin(&plan);
    let mut batch = Batch::start(Arc::clone(&plan), connector, baseline);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let interrupted = loop {
        if written.is_err() {
            break false;
        }
        tokio::select! {
            record = batch.records.recv() => match record {
                Some(record) => {
                    tally.add(&record);
                    written = report.record(record);
                }
                None => break false,
            },
            _ = tick.tick() => progress.show(&tally, batch.elapsed()),
            _ = &mut stop => break true,
        }
    };
    let elapsed = batch.elapsed();
    let started = batch.stop().await;
    while let Ok(record) = batch.records.try_recv() {
        tally.add(&record);
        written = written.and_then(|()| report.record(record));
    }
    progress.clear();

    let interrupted = interrupted.then(|| started.saturating_sub(tally.sent()));
    let finished = Finished { tally, elapsed, interrupted };
    match written.and_then(|()| report.end(&finished)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(RunError::Output(error)),
        _ => Ok(finished),
    }
}

fn connector(plan: &Plan, message: &Message) -> Result<Connector, RunError> {
    Connector::new(message.endpoint.clone(), message.http2, plan.insecure).map_err(RunError::Tls)
}

async fn fetch_baseline(plan: &Plan, message: &Message) -> Result<Baseline, RunError> {
    let connector = connector(plan, message)?;
    let mut sender = Sender::new(&connector, message, plan.timeout, plan.keep_alive);
    let failed = |failure| RunError::Direct { authority: message.endpoint.authority(), failure };
    let first = sender.exchange().await.0.map_err(failed)?;
    let second = sender.exchange().await.0.map_err(failed)?;
    Ok(Baseline::new(&message.sent, &first.as_witness(), &second.as_witness()))
}

// === impl Finished ===

impl Finished {
    /// Whether nothing answered because nothing listens there.
    pub fn nothing_listens(&self) -> bool {
        self.tally.refused > 0 && self.tally.refused == self.tally.sent()
    }
}
