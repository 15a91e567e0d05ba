//! Failures in a row open a breaker; while it is open its backend gets nothing, and nobody
//! else is the worse for it.

use std::time::{Duration, Instant};

use futures_util::future;

use super::setup::{BACKENDS, Fault, LONG, Setup};
use crate::backends::recording::{Act, Gate, Log, Reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, at_once};
use crate::judge::stages::turns::in_words;

/// How many turns the one that fails would have after its breaker should be open.
const MORE: usize = 4;

/// How many requests come at once while it is open.
const AT_ONCE: usize = 24;

/// Later than the latest trial of a short time (see `trial`): a time that is none of the file's
/// is seen here or there.
const STILL_OPEN: Duration = Duration::from_millis(1200);

/// How long it may take until requests of before have come; nothing is judged by it.
const TO_COME: Duration = Duration::from_secs(1);

/// In one pool by a status, in the other by broken connections.
pub async fn opens(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    for (pool, fault) in [Fault::Status(setup.status()), Fault::Reset].into_iter().enumerate() {
        setup.fails(pool, fault);
        let failures = setup.failures_of(pool);
        let turns = failures + MORE;
        for _ in 0..BACKENDS * turns {
            let sent = setup.send(pool).await;
            setup.is_served(pool, &sent).await?;
        }
        let got = setup.received(pool);
        let id = match (got, fault) {
            _ if got == failures => continue,
            _ if got < failures => "opens-too-soon",
            (_, Fault::Reset) if got >= turns => "broken-connections-not-counted",
            _ if got >= turns => "never-opens",
            _ => "opens-too-late",
        };
        let found = setup.found(id, pool).compared(failures, got);
        return Err(found.with("got", got).fail());
    }
    Ok(())
}

/// One after the other, and all at once, behind a success that says how it was before; and not
/// only at first.
pub async fn open_sends_nothing(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    opens_beside_a_late_success(&setup).await?;
    let before = setup.received(0);
    tokio::time::sleep(STILL_OPEN).await;
    for _ in 0..BACKENDS * MORE {
        let sent = setup.send(0).await;
        setup.is_served(0, &sent).await?;
    }
    let requests = (0..AT_ONCE).map(|_| Own::of(setup.request(0))).collect();
    for tried in at_once(scene, &setup.running, requests).await {
        setup.is_served(0, &setup.sent(0, tried.exchange)).await?;
    }
    let got = setup.received(0) - before;
    if got == 0 {
        return Ok(());
    }
    let requests = BACKENDS * MORE + AT_ONCE;
    let found = setup.found("open-lets-through", 0).compared(0, got).with("got", got);
    Err(found.with("requests", requests).fail())
}

/// A request is under way at it while others fail. It is answered, and well, when the breaker is
/// open.
async fn opens_beside_a_late_success(setup: &Setup<'_>) -> Outcome {
    let gate = Gate::closed();
    setup.bad(0).always(Act::Hold(gate.clone(), Reply::ok("late")));
    let requests: Vec<_> = (0..BACKENDS).map(|_| setup.request(0)).collect();
    let client = setup.running.client();
    let answered = future::join_all(requests.iter().map(|request| client.send(request)));
    let opens = async {
        // All of the round: who comes later would be taken for one of those behind it.
        let come = |log: &Log| {
            let came = |target| log.requests().any(|one| one.target == target);
            requests.iter().all(|request| came(request.target.as_str())).then_some(())
        };
        let deadline = Instant::now() + TO_COME;
        setup.scene.recorder.wait_for(deadline, come).await;
        // Until it is held it would fail like those behind it.
        let _ = tokio::time::timeout_at(deadline.into(), gate.comes(1)).await;
        let opened = setup.open(0).await;
        gate.open();
        opened
    };
    future::join(answered, opens).await.1
}

/// Those of its pool take its turns, evenly; those of the other pool have theirs.
pub async fn others_unaffected(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    setup.open(0).await?;
    for (pool, id) in [(0, "others-uneven"), (1, "other-pool-affected")] {
        // As many as both two and three go into.
        let requests = BACKENDS * (BACKENDS - 1) * 3;
        let mut counts = vec![0; BACKENDS];
        for _ in 0..requests {
            let sent = setup.send(pool).await;
            setup.is_served(pool, &sent).await?;
            sent.places.iter().for_each(|place| counts[*place] += 1);
        }
        let taking_part = if pool == 0 { BACKENDS - 1 } else { BACKENDS };
        let wanted: Vec<_> = (0..BACKENDS)
            .map(|place| match pool == 0 && place == setup.bad_place(0) {
                true => 0,
                false => requests / taking_part,
            })
            .collect();
        if counts != wanted {
            return Err(setup
                .found(id, pool)
                .compared(in_words(&wanted), in_words(&counts))
                .with("requests", requests)
                .with("got", in_words(&counts))
                .fail());
        }
    }
    Ok(())
}
