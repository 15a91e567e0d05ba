//! 02 round-robin: requests take turns over all backends, exactly.

mod diagnose;

use std::time::Duration;

use futures_util::FutureExt;

use super::starts::STARTS;
use super::together::together;
use super::turns::{self, Spread, Turns};
use crate::backends::recording::RecordingBackend;
use crate::judge::client::{Kept, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "02-round-robin",
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "spread-sequential",
            diagnoses: &[
                "nothing-to-choose",
                "only-first-backend",
                "counter-starts-anew",
                "only-one-backend",
                "turn-taken-twice",
                "sticks-to-client",
                "some-never-used",
                "chosen-by-request",
                "random-choice",
                "uneven-turns",
            ],
            run: |scene| spread_sequential(scene).boxed(),
        },
        Check {
            id: "spread-parallel",
            diagnoses: &["one-at-a-time", "uneven-in-parallel"],
            run: |scene| spread_parallel(scene).boxed(),
        },
        Check {
            id: "turns-per-request",
            diagnoses: &["sticks-to-connection", "uneven-on-connection"],
            run: |scene| turns_per_request(scene).boxed(),
        },
        Check {
            id: "none-reachable",
            diagnoses: &["none-reachable-wrong-status", "none-reachable-slow"],
            run: |scene| none_reachable(scene).boxed(),
        },
    ],
};

/// How many requests are under way at the same time.
const PARALLEL: usize = 60;

/// A refused connection is known at once; this is long for any machine.
const TO_AN_ERROR: Duration = Duration::from_secs(3);

/// One request after another, each over a connection of its own, with 1, 2, 3
/// and 5 backends.
async fn spread_sequential(scene: &Scene) -> Outcome {
    // Three first: that is what most people look at. Two last but one: what
    // fails with two alone takes every turn twice.
    for count in [3, 5, 2, 1] {
        let backends = unsorted(scene, count)?;
        let running = scene.start(&backends).await?;
        // So many that a random choice has no chance to look regular: with two
        // backends 2^-15, with three 3^-15.
        let rounds = usize::try_from(scene.draw.number(0..3)).unwrap_or_default() + 30 / count;
        scene.plan(format!("{count} backends, {} requests", rounds * count));
        let mut turns = Turns { backends: count, order: Vec::new() };
        for _ in 0..rounds * count {
            let request = running.request("GET", scene.draw.path());
            let exchange = Exchange::of(scene, running.client(), request).await;
            turns.order.push(turn_of(scene, &running, &backends, &exchange).await?);
        }
        if turns.spread() != Spread::Exact {
            return Err(diagnose::sequential(scene, &running, &backends, &turns).await);
        }
    }
    Ok(())
}

/// All requests are on their way before the first is answered, and each backend
/// has its share of them. Turns that get into each other's way may come out even
/// by chance: with five backends and then with three hardly ever.
async fn spread_parallel(scene: &Scene) -> Outcome {
    let mut counts = [5, 3];
    scene.draw.shuffle(&mut counts);
    for count in counts {
        in_parallel(scene, count).await?;
    }
    Ok(())
}

async fn in_parallel(scene: &Scene, count: usize) -> Outcome {
    let backends = unsorted(scene, count)?;
    let running = scene.start(&backends).await?;
    scene.plan(format!("{count} backends, {PARALLEL} requests at once"));
    let requests: Vec<_> =
        (0..PARALLEL).map(|_| running.request("GET", scene.draw.path())).collect();
    let exchanges = together(scene, &running, &backends, requests)
        .await
        .map_err(|held| held.finding(diagnose::many(PARALLEL, PARALLEL / 2)))?;
    let mut turns = Turns { backends: count, order: Vec::new() };
    for exchange in exchanges {
        turns.order.push(turn_of(scene, &running, &backends, &exchange).await?);
    }
    let share = PARALLEL / count;
    if turns.counts().iter().any(|&got| got != share) {
        return Err(Diagnosis::new("uneven-in-parallel")
            .compared(turns::in_words(vec![share; count]), turns.shares())
            .with("requests", PARALLEL)
            .with("backends", count)
            .repeat(diagnose::many(PARALLEL, PARALLEL / 2))
            .fail());
    }
    Ok(())
}

/// The requests of one client connection take turns as well.
async fn turns_per_request(scene: &Scene) -> Outcome {
    let count = *scene.draw.pick(&[2, 3, 5]);
    let backends = unsorted(scene, count)?;
    let running = scene.start(&backends).await?;
    let requests = count * (30 / count);
    scene.plan(format!("{count} backends, {requests} requests over one connection"));
    let mut turns = Turns { backends: count, order: Vec::new() };
    // Whoever closes it after each answer has no turns to lose here.
    let mut kept = Kept::new(running.client());
    for _ in 0..requests {
        let request = running.request("GET", scene.draw.path());
        let seen = scene.recorder.read(|log| log.requests().count());
        let answer = kept.send(&request).await;
        let received =
            scene.recorder.read(|log| log.requests().skip(seen).cloned().collect::<Vec<_>>());
        let exchange = Exchange { request, received, answer };
        turns.order.push(turn_of(scene, &running, &backends, &exchange).await?);
    }
    match turns.spread() {
        Spread::Exact => Ok(()),
        spread => Err(diagnose::on_one_connection(&spread, &turns)),
    }
}

/// With no backend reachable there is an answer all the same: 502 or 503.
async fn none_reachable(scene: &Scene) -> Outcome {
    let count = usize::try_from(scene.draw.number(2..5)).unwrap_or(3);
    let backends = unsorted(scene, count)?;
    let running = scene.start(&backends).await?;
    scene.plan(format!("{count} backends, first all up, then none"));
    for _ in 0..count {
        let request = running.request("GET", scene.draw.path());
        let exchange = Exchange::of(scene, running.client(), request).await;
        turn_of(scene, &running, &backends, &exchange).await?;
    }
    for backend in &backends {
        backend
            .refuse()
            .map_err(|error| scene.our_error("a backend could not be stopped", &error))?;
    }
    for asked in 0..3 * count {
        let mut request = running.request("GET", scene.draw.path());
        // A request with a body ends no differently.
        if asked % 3 == 2 {
            request.method = "POST".to_owned();
            request = request.body(scene.draw.bytes(100));
        }
        let exchange = Exchange::of(scene, running.client(), request).await;
        is_an_error(scene, &running, &exchange).await?;
    }
    Ok(())
}

async fn is_an_error(scene: &Scene, running: &Running<'_>, exchange: &Exchange) -> Outcome {
    let expected = format!("502 or 503 within {} s", TO_AN_ERROR.as_secs());
    match &exchange.answer {
        Ok(answer) if !matches!(answer.status, 502 | 503) => Err(exchange
            .found(scene, "none-reachable-wrong-status")
            .compared("502 or 503", answer.status)
            .with("status", answer.status)
            .repeat(diagnose::nobody_there())
            .fail()),
        Ok(answer) if answer.took > TO_AN_ERROR => Err(exchange
            .found(scene, "none-reachable-slow")
            .compared(expected, format!("{} after {} ms", answer.status, answer.took.as_millis()))
            .repeat(diagnose::nobody_there())
            .timed()
            .fail()),
        Ok(_) => Ok(()),
        Err(Trouble::NoAnswer { after }) => Err(exchange
            .found(scene, "none-reachable-slow")
            .compared(expected, format!("nothing within {} ms", after.as_millis()))
            .repeat(diagnose::nobody_there())
            .timed()
            .fail()),
        Err(trouble) => Err(running
            .trouble(trouble, &exchange.request)
            .await
            .map(|found| found.repeat(diagnose::nobody_there()))),
    }
}

/// Backends of which the first in the list has not the lowest address, nor the
/// highest where there are more than two. So a program that uses only the first
/// of the list is told apart from one that asks a new balancer each time, whose
/// first is the lowest, and from one that hashes nothing.
fn unsorted(scene: &Scene, count: usize) -> Result<Vec<RecordingBackend>, Finding> {
    loop {
        let backends = scene.backends(count)?;
        let first = backends[0].address();
        let lower = backends.iter().filter(|backend| backend.address() < first).count();
        if count == 1 || (lower > 0 && (count == 2 || lower < count - 1)) {
            return Ok(backends);
        }
    }
}

/// The number of the backend that a request went to; the finding if it went to
/// none or did not come back.
async fn turn_of(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    exchange: &Exchange,
) -> Result<usize, Finding> {
    let (received, answer) = match exchange.through(scene, running).await {
        Ok(through) => through,
        Err(finding) => return Err(diagnose::nothing_to_choose(exchange, finding)),
    };
    if answer.status != 200 {
        return Err(status_changed(scene, exchange, answer.status));
    }
    let place = backends.iter().position(|backend| backend.name() == &*received.backend);
    let place = place.ok_or_else(|| scene.our_error("no such backend", &received.backend))?;
    Ok(place + 1)
}

fn status_changed(scene: &Scene, exchange: &Exchange, status: u16) -> Finding {
    exchange.found(scene, "status-changed").compared(200, status).fail()
}
