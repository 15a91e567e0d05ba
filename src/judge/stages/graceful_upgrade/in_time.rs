//! When the process has ended: as soon as nothing is under way, and at the limit whatever is.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};

use super::setup::{LONG, Setup, drawn, milliseconds};
use crate::judge::client::Connection;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::machine::Machine;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How much later than its limit it may end.
const LATE: Duration = Duration::from_millis(800);

/// Timers have steps: how much sooner it may end.
const EARLY: Duration = Duration::from_millis(50);

/// How long behind its limit an end is waited for.
const PATIENCE: Duration = Duration::from_millis(2000);

/// How soon it ends where there is nothing to wait for.
const SOON: Duration = Duration::from_millis(2500);

/// One program is held by a client that never ends, one by nobody, one by a connection that
/// nobody uses.
pub async fn exits_in_time(scene: &Scene) -> Outcome {
    let limit = drawn(scene, 1300..1700);
    // In turn, since each draws from the seed; to their ends at the same time.
    let held = Setup::start(scene, limit).await?;
    let free = Setup::start(scene, LONG).await?;
    let idle = Setup::start(scene, LONG).await?;
    let (kept, by_hand) = (kept(&idle).await?, idle.by_hand_idle());
    let (held, free, idle) =
        future::join3(ends_at_limit(&held, limit), ends_soon(&free), ends_soon(&idle)).await;
    drop(kept);
    held?;
    free?;
    idle.map_err(|finding| match finding.diagnosis().id {
        "waits-for-nothing" => {
            finding.map(|found| found.renamed("idle-holds-exit").repeat(by_hand))
        }
        _ => finding,
    })
}

/// A client that has asked and keeps its connection. (Of one that has not asked yet the first
/// request may be on its way: nginx and HAProxy wait for that.)
async fn kept(setup: &Setup<'_>) -> Result<Connection, Finding> {
    let request = setup.running.request("GET", setup.scene.draw.path());
    let connected = setup.running.client().connect().await;
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(trouble) => return Err(setup.running.trouble(&trouble, &request).await),
    };
    match connection.send(&request).await {
        Ok(_) => Ok(connection),
        Err(trouble) => Err(setup.running.trouble(&trouble, &request).await),
    }
}

/// What its backend never answers is cut at the limit, and that is no failure of the process.
async fn ends_at_limit(setup: &Setup<'_>, limit: Duration) -> Outcome {
    let held = setup.held();
    let client = setup.running.client().patience(limit + PATIENCE + LONG);
    let sent = client.send(&held.request);
    let ends = async {
        setup.comes(&held).await;
        let (before, begun) = (Machine::now(), Instant::now());
        setup.running.terminate().await?;
        let exit = setup.running.exits_within(limit + PATIENCE).await;
        let took = begun.elapsed();
        // It has hardly anything to do meanwhile.
        let short = before
            .zip(Machine::now())
            .is_some_and(|(then, now)| then.was_short(&now, Duration::ZERO));
        Ok::<_, Finding>((exit, took, short))
    };
    let (exit, took, short) = match future::select(Box::pin(ends), Box::pin(sent)).await {
        Either::Left((ended, _)) => ended?,
        Either::Right((_, ends)) => ends.await?,
    };
    let found = |id| {
        let actual = match exit {
            Some(exit) => format!("{exit} after {} ms", took.as_millis()),
            None => format!("it runs on after {} ms", took.as_millis()),
        };
        let limit = format!("exit code 0 after {} ms", limit.as_millis());
        let found = setup.found(id).compared(limit, actual).with("took_ms", milliseconds(took));
        found.repeat(setup.by_hand("SIGTERM"))
    };
    match exit {
        None => Err(found("waits-past-limit").timed().fail()),
        // It has ended by itself, and others had the machine.
        Some(_) if took > limit + LATE && short => Err(Diagnosis::new("machine-too-slow")
            .with("stalled_ms", milliseconds(took.saturating_sub(limit)))
            .inconclusive()),
        Some(_) if took > limit + LATE => Err(found("waits-past-limit").timed().fail()),
        Some(_) if took + EARLY < limit => Err(found("cut-too-soon").fail()),
        Some(exit) => setup.is_zero(exit, "SIGTERM"),
    }
}

async fn ends_soon(setup: &Setup<'_>) -> Outcome {
    setup.running.terminate().await?;
    if let Some(exit) = setup.running.exits_within(SOON).await {
        return setup.is_zero(exit, "SIGTERM");
    }
    Err(setup
        .found("waits-for-nothing")
        .compared("exit code 0 at once", format!("it runs on after {} ms", SOON.as_millis()))
        .with("after_ms", milliseconds(SOON))
        .repeat(setup.by_hand("SIGTERM"))
        .timed()
        .fail())
}
