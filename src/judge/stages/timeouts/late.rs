//! A backend that does not answer, and one whose answer comes byte by byte: both are ended.

use std::time::Duration;

use futures_util::future;

use super::setup::{EARLY, LONG, Limit, Limits, Setup, Waited, drawn};
use crate::backends::recording::{Act, Gate, RecordingBackend, Reply};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Tried, echo};

/// By how much the limits of two pools differ: whoever takes one for the other is too soon
/// here or too late there.
const APART: Duration = Duration::from_millis(550);

/// The pause between two bytes of an answer.
const DRIP: Duration = Duration::from_millis(40);

/// How many requests come to a backend once it has said too late what it had to say.
const AFTERWARDS: usize = 3;

/// Two pools with limits of their own; over new connections and over one that was used, and
/// the backends answer when nobody waits any more.
pub async fn hung_backend(scene: &Scene) -> Outcome {
    let short = drawn(scene, 150..200);
    let limits = [short, short + APART].map(|read| Limits { read, total: LONG });
    let setup = Setup::start(scene, &limits.map(|limits| (1, limits))).await?;
    let gate = Gate::closed();
    for pool in 0..limits.len() {
        // Leaves a connection that may be used again.
        setup.is_well(pool, "GET").await?;
        let hold = gate.clone();
        setup.pools[pool].backends[0].set_to(move |received| {
            Act::Hold(hold.clone(), Reply::ok(format!("too late for {}", received.target)))
        });
    }
    let ended = async |pool: usize, method: &str| {
        let own = setup.request(pool, method);
        (pool, setup.waited(own, limits[pool].read).await)
    };
    let all = future::join_all(
        [(0, "GET"), (0, "GET"), (0, "POST"), (1, "GET"), (1, "POST")]
            .map(|(pool, method)| ended(pool, method)),
    );
    for (pool, waited) in all.await {
        is_ended_by_its_own(&setup, pool, &waited).await?;
    }
    gate.open();
    for pool in 0..limits.len() {
        echo(&setup.pools[pool].backends);
        for _ in 0..AFTERWARDS {
            let own = setup.request(pool, "GET");
            let tried = own.send(scene, setup.running.client()).await;
            is_its_own_answer(&setup, &tried).await?;
        }
    }
    Ok(())
}

/// Ended by the limit of its pool, and not by that of the other.
async fn is_ended_by_its_own(setup: &Setup<'_>, pool: usize, waited: &Waited) -> Outcome {
    let other = setup.pools[1 - pool].limits.read;
    let of_other = |found: &'static str| match found {
        "ended-too-soon" => true,
        "ended-too-late" => waited.took + EARLY >= other,
        _ => false,
    };
    setup.is_ended(pool, Limit::Read, waited).await.map_err(|finding| {
        if !of_other(finding.diagnosis().id) {
            return finding;
        }
        let other = super::setup::milliseconds(other);
        finding.map(|found| found.renamed("one-limit-for-all").with("other_ms", other))
    })
}

/// A connection over which an answer may still come is not used again.
async fn is_its_own_answer(setup: &Setup<'_>, tried: &Tried) -> Outcome {
    if tried.served() {
        return Ok(());
    }
    let answer = tried.exchange.answer.as_ref().ok().filter(|answer| answer.status == 200);
    match answer.map(|answer| answer.text()).filter(|text| text.starts_with("too late for ")) {
        None => Err(tried.finding(setup.scene, &setup.running).await),
        Some(text) => Err(tried
            .exchange
            .found(setup.scene, "answer-of-another")
            .compared(&tried.exchange.request.target, &text)
            .with("answer", text)
            .fail()),
    }
}

/// Two backends, of which neither answers: over new connections and over used ones, by the
/// limit of a pause and by that of the whole.
pub async fn post_not_repeated(scene: &Scene) -> Outcome {
    let (read, total) = (drawn(scene, 150..200), drawn(scene, 350..450));
    let pools = [Limits { read, total: LONG }, Limits { read, total }];
    let setup = Setup::start(scene, &pools.map(|limits| (2, limits))).await?;
    for pool in 0..pools.len() {
        for _ in 0..2 {
            setup.is_well(pool, "GET").await?;
        }
    }
    setup.pools[0].backends.iter().for_each(|backend| backend.always(Act::Hang));
    setup.pools[1].backends.iter().for_each(drips);
    let posts = [(0, Limit::Read), (1, Limit::Total)].into_iter().flat_map(|of| [of; 3]);
    let sent = posts.map(|(pool, limit)| {
        let own = setup.request(pool, "POST");
        let setup = &setup;
        async move { (pool, limit, setup.waited(own, setup.pools[pool].limits.of(limit)).await) }
    });
    for (pool, limit, waited) in future::join_all(sent).await {
        is_sent_once(&setup, pool, limit, &waited)?;
        setup.is_ended(pool, limit, &waited).await?;
    }
    Ok(())
}

fn is_sent_once(
    setup: &Setup<'_>,
    pool: usize,
    limit: Limit,
    waited: &Waited,
) -> Result<(), Finding> {
    let times = waited.tried.exchange.received.len();
    if times < 2 {
        return Ok(());
    }
    let found = setup.found("post-sent-again", pool, limit, waited);
    Err(found.compared("sent once, then 504", format!("sent {times} times")).fail())
}

/// Never silent for long, and never done: a GET over a new connection, one over a used
/// one, and a POST.
pub async fn slow_drip(scene: &Scene) -> Outcome {
    let limits = Limits { read: drawn(scene, 250..350), total: drawn(scene, 450..600) };
    let setup = Setup::start(scene, &[(1, limits)]).await?;
    setup.is_well(0, "GET").await?;
    drips(&setup.pools[0].backends[0]);
    let sent = ["GET", "GET", "POST"].map(|method| {
        let own = setup.request(0, method);
        setup.waited(own, limits.total)
    });
    for waited in future::join_all(sent).await {
        setup.is_ended(0, Limit::Total, &waited).await?;
    }
    // It can be asked again.
    echo(&setup.pools[0].backends);
    setup.is_well(0, "GET").await
}

/// Its answers come byte by byte, and their heads take longer than any client waits.
fn drips(backend: &RecordingBackend) {
    let reply = Reply::ok("drop by drop").header("x-padding", "drop".repeat(60));
    backend.always(Act::Drip { reply, chunk: 1, every: DRIP });
}
