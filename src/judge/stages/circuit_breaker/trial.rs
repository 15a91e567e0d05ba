//! After its time an open breaker is half-open: one request is let through, and how that
//! one ends closes it or opens it again.

use std::time::{Duration, Instant};

use futures_util::future;

use super::setup::{BACKENDS, Setup};
use crate::backends::recording::{Act, Gate, Reply};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests come at once when it is half-open.
const AT_ONCE: usize = 12;

/// How long the one that is on trial is looked at: whoever else comes to it comes by then.
const TO_COME: Duration = Duration::from_millis(400);

/// How much later than its time a trial may come.
const TO_BE_TRIED: Duration = Duration::from_millis(650);

/// How many turns it has once it is closed.
const TURNS: usize = 4;

/// The pause between two requests that wait for a trial.
const PAUSE: Duration = Duration::from_millis(20);

/// Many at once, and one of them is held.
pub async fn one_trial(scene: &Scene) -> Outcome {
    let setup = open(scene).await?;
    let before = setup.received(0);
    let gate = Gate::closed();
    setup.bad(0).always(Act::Hold(gate.clone(), Reply::ok("well")));
    tokio::time::sleep(setup.open_for + PAUSE).await;
    let requests: Vec<_> = (0..AT_ONCE).map(|_| setup.request(0)).collect();
    let client = setup.running.client();
    let sent = future::join_all(requests.iter().map(|request| client.send(request)));
    let looked_at = async {
        tokio::time::sleep(TO_COME).await;
        let got = setup.received(0) - before;
        gate.open();
        got
    };
    let (answers, got) = future::join(sent, looked_at).await;
    for (request, answer) in requests.into_iter().zip(answers) {
        let received = scene.recorder.read(|log| {
            log.requests().filter(|one| one.target == request.target).cloned().collect()
        });
        setup.is_served(0, &setup.sent(0, Exchange { request, received, answer })).await?;
    }
    match got {
        0 => tried(&setup, before).await.map(drop),
        1 => Ok(()),
        _ => Err(setup
            .found("herd-in-half-open", 0)
            .compared(1, got)
            .with("got", got)
            .with("requests", AT_ONCE)
            .fail()),
    }
}

/// It is well again: after one trial it has its turns.
pub async fn closes(scene: &Scene) -> Outcome {
    let setup = open(scene).await?;
    let before = setup.received(0);
    setup.recovers(0);
    tokio::time::sleep(setup.open_for).await;
    tried(&setup, before).await?;
    let before = setup.received(0);
    for _ in 0..BACKENDS * TURNS {
        let sent = setup.send(0).await;
        setup.is_served(0, &sent).await?;
    }
    let got = setup.received(0) - before;
    if got == TURNS {
        return Ok(());
    }
    Err(setup
        .found("never-closes", 0)
        .compared(TURNS, got)
        .with("got", got)
        .with("requests", BACKENDS * TURNS)
        .fail())
}

/// It still fails: after one trial it is left alone for as long as before, and then tried
/// again.
pub async fn opens_again(scene: &Scene) -> Outcome {
    let setup = open(scene).await?;
    let before = setup.received(0);
    tokio::time::sleep(setup.open_for).await;
    let trial = tried(&setup, before).await?;
    for _ in 0..BACKENDS * TURNS {
        let sent = setup.send(0).await;
        setup.is_served(0, &sent).await?;
    }
    // Whoever came after the time of the trial is another trial.
    let name = setup.bad(0).name();
    let soon = scene.recorder.read(|log| {
        let after = log.requests_to(name).skip(before + 1);
        after.filter(|one| one.at < trial + setup.open_for).count()
    });
    if soon > 0 {
        return Err(setup
            .found("trial-does-not-open", 0)
            .compared(0, soon)
            .with("got", soon)
            .fail());
    }
    let before = setup.received(0);
    let rest = setup.open_for.saturating_sub(trial.elapsed());
    tokio::time::sleep(rest).await;
    tried(&setup, before).await.map(drop).map_err(|finding| match finding.diagnosis().id {
        "never-half-open" => finding.map(|found| {
            let id = "tried-only-once";
            found.renamed(id).repeat(setup.by_hand(id, 0))
        }),
        _ => finding,
    })
}

/// Open for a short time.
async fn open(scene: &Scene) -> Result<Setup<'_>, Finding> {
    let open_for = Duration::from_millis(scene.draw.number(320..480));
    let setup = Setup::start(scene, open_for).await?;
    setup.open(0).await?;
    Ok(setup)
}

/// Sends requests until one comes to it; when.
async fn tried(setup: &Setup<'_>, before: usize) -> Result<Instant, Finding> {
    let begun = Instant::now();
    loop {
        let sent = setup.send_unplanned(0).await;
        setup.is_served(0, &sent).await?;
        // When it came. The program knows its end later, and counts from there.
        let came = setup
            .scene
            .recorder
            .read(|log| log.requests_to(setup.bad(0).name()).nth(before).map(|one| one.at));
        if let Some(came) = came {
            return Ok(came);
        }
        if begun.elapsed() > TO_BE_TRIED {
            let seconds = format!("{:.1}", begun.elapsed().as_secs_f64());
            return Err(setup
                .found("never-half-open", 0)
                .compared("a request at it", format!("none within {seconds} s of its time"))
                .with("seconds", &*seconds)
                .timed()
                .fail());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
