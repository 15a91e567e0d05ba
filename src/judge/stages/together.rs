//! Requests that are all under way before the first of them is answered.

use std::time::{Duration, Instant};

use futures_util::future;

use crate::backends::recording::{Act, Gate, RecordingBackend, Reply};
use crate::judge::client::{Request, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// The program held requests back: not all of them were at the backends at the same time.
#[derive(Debug)]
pub struct HeldBack {
    requests: usize,
    waiting: usize,
    after: Duration,
}

/// Sends them all at the same time; the backends answer none before all are there. Their
/// targets differ.
///
/// # Errors
///
/// They were never all there.
pub async fn together(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    requests: Vec<Request>,
) -> Result<Vec<Exchange>, HeldBack> {
    let gate = Gate::for_all_of(requests.len());
    for backend in backends {
        let hold = gate.clone();
        backend.set_to(move |received| Act::Hold(hold.clone(), Reply::ok(received.target.clone())));
    }
    let (begun, client) = (Instant::now(), running.client());
    let answers = future::join_all(requests.iter().map(|request| client.send(request))).await;
    let no_answer = |answer: &Result<_, _>| matches!(answer, Err(Trouble::NoAnswer { .. }));
    if !gate.is_open() && answers.iter().any(no_answer) {
        let (requests, waiting) = (requests.len(), gate.waiting());
        return Err(HeldBack { requests, waiting, after: begun.elapsed() });
    }
    let exchange = |(request, answer): (Request, _)| {
        let received = scene.recorder.read(|log| {
            log.requests().filter(|one| one.target == request.target).cloned().collect()
        });
        Exchange { request, received, answer }
    };
    Ok(requests.into_iter().zip(answers).map(exchange).collect())
}

// === impl HeldBack ===

impl HeldBack {
    /// What it shows: requests wait for each other.
    pub fn finding(self, repeat: Vec<String>) -> Finding {
        let Self { requests, waiting, after } = self;
        Diagnosis::new("one-at-a-time")
            .compared(
                format!("{requests} requests at the backends at the same time"),
                format!("{waiting} after {:.1} s", after.as_secs_f64()),
            )
            .with("in_flight", waiting)
            .with("clients", requests)
            .repeat(repeat)
            .timed()
            .fail()
    }
}
