//! One of three backends dies: once that is known it gets nothing, and the others
//! share the work. Once it is back it is used again.

use std::time::{Duration, Instant};

use super::{PAUSE, run_with, start};
use crate::backends::recording::RecordingBackend;
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::looks::all_die;
use crate::judge::stages::own::{Own, Tried, echo, listen};

/// So many that each of two survivors gets one, even if their turns were drawn:
/// one of them is left out once in 2^29 runs, and no turns are drawn here.
const REQUESTS: usize = 30;

/// How long a backend may be back before it is used again: many intervals, and
/// more than a busy machine takes for some connections.
const TO_COME_BACK: Duration = Duration::from_secs(4);

pub async fn dead_gets_nothing(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let (running, interval) = start(scene, &backends).await?;
    echo(&backends);
    let dead = scene.draw.pick(&backends);
    scene.plan(format!("{} refuses", dead.name()));
    let rounds = dies(scene, &backends, dead, interval).await?;
    let requests = (0..REQUESTS).map(|_| Own::drawn(scene, &running, "GET"));
    let requests: Vec<_> = requests.collect();
    let mut tried = Vec::new();
    for request in requests {
        tried.push(request.send(scene, running.client()).await);
    }
    if let Some(failed) = tried.iter().find(|one| !one.served()) {
        return Err(not_served(scene, &running, dead, rounds, &tried, failed).await);
    }
    for backend in backends.iter().filter(|one| one.name() != dead.name()) {
        let at = |one: &&Tried| one.exchange.received.iter().any(|r| &*r.backend == backend.name());
        if !tried.iter().any(|one| at(&one)) {
            return Err(tried[0]
                .exchange
                .found(scene, "survivor-left-out")
                .compared("requests at both survivors", format!("none at {}", backend.name()))
                .with("backend", backend.name())
                .with("dead", dead.name())
                .with("requests", REQUESTS)
                .repeat(one_is_dead())
                .fail());
        }
    }
    Ok(())
}

pub async fn comes_back(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let (running, interval) = start(scene, &backends).await?;
    echo(&backends);
    let dead = scene.draw.pick(&backends);
    scene.plan(format!("{} refuses, and is back", dead.name()));
    dies(scene, &backends, dead, interval).await?;
    listen(scene, dead)?;
    let back = Instant::now();
    loop {
        let tried = Own::unplanned(scene, &running).send(scene, running.client()).await;
        // All of them are well: nothing may fail any more.
        if !tried.served() {
            return Err(tried.finding(scene, &running).await);
        }
        if tried.exchange.received.iter().any(|one| &*one.backend == dead.name()) {
            return Ok(());
        }
        if back.elapsed() > TO_COME_BACK {
            let seconds = back.elapsed().as_secs();
            return Err(tried
                .exchange
                .found(scene, "never-comes-back")
                .compared(
                    format!("a request at {}", dead.name()),
                    format!("none within {seconds} s of its return"),
                )
                .with("backend", dead.name())
                .with("seconds", seconds)
                .with("interval_ms", u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
                .repeat(one_returns())
                .timed()
                .fail());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The backend refuses connections; returns once that should be known, with the
/// rounds of checks that were seen at the others.
async fn dies(
    scene: &Scene,
    backends: &[RecordingBackend],
    dead: &RecordingBackend,
    interval: Duration,
) -> Result<usize, Finding> {
    let others: Vec<_> = backends.iter().filter(|one| one.name() != dead.name()).collect();
    let known = all_die(scene, &[dead], &others, interval).await?;
    Ok(known.fewest())
}

async fn not_served(
    scene: &Scene,
    running: &Running<'_>,
    dead: &RecordingBackend,
    rounds: usize,
    tried: &[Tried],
    failed: &Tried,
) -> Finding {
    let finding = failed.finding(scene, running).await;
    let status = failed.exchange.answer.as_ref().map_or(0, |answer| answer.status);
    let id = match (finding.diagnosis().id, status) {
        ("backend-never-tried", 503) => "gives-up-at-unhealthy",
        ("backend-never-tried", _) => "dead-still-chosen",
        _ => return finding,
    };
    let failed = tried.iter().filter(|one| !one.served()).count();
    finding.map(|found| {
        found
            .renamed(id)
            .compared(
                format!("{REQUESTS} of {REQUESTS} requests answered by the two that are well"),
                format!("{} of {REQUESTS}", REQUESTS - failed),
            )
            .with("dead", dead.name())
            .with("failed", failed)
            .with("requests", REQUESTS)
            .with("rounds", rounds)
            .repeat(one_is_dead())
    })
}

fn one_is_dead() -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        run_with("127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6199"),
        "sleep 2; pingora-lab probe --count 12".to_owned(),
    ]
}

fn one_returns() -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        run_with("127.0.0.1:6190,127.0.0.1:6193"),
        "sleep 5; pingora-lab backends --ports 6193,0,0".to_owned(),
        "pingora-lab probe --duration 15s --rate 5".to_owned(),
    ]
}
