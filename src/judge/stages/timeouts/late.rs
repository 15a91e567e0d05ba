//! A backend that does not answer, and one whose answer comes byte by byte: both are ended.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future;

use super::setup::{LATE, LONG, Limit, Limits, Setup, Waited, drawn, milliseconds};
use crate::backends::recording::{Act, Afterwards, Gate, Reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Tried, echo};

/// By how much the limits of two pools differ: whoever takes one for the other is too soon
/// here or too late there.
const APART: Duration = Duration::from_millis(450);

/// The pause between two bytes of an answer.
const DRIP: Duration = Duration::from_millis(40);

/// How much sooner than the limit a backend hangs up on a request, which is sent to it again: so
/// much is left of the limit then.
const LEFT: Duration = Duration::from_millis(80);

/// How many backends there are where a request might go to another.
const TWO: usize = 2;

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
    each_by_its_own(&setup, &all.await).await?;
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

/// Each was ended by the limit of its pool. Where those of one pool were and one of the other
/// was not, there is one limit for both.
async fn each_by_its_own(setup: &Setup<'_>, all: &[(usize, Waited)]) -> Outcome {
    let mut outcomes = Vec::new();
    for (pool, waited) in all {
        outcomes.push((*pool, setup.is_ended(*pool, Limit::Read, waited).await));
    }
    let well = |pool: usize| {
        outcomes.iter().filter(|(of, _)| *of == pool).all(|(_, outcome)| outcome.is_ok())
    };
    let other_is_well = [well(1), well(0)];
    let Some((pool, Err(finding))) = outcomes.into_iter().find(|(_, outcome)| outcome.is_err())
    else {
        return Ok(());
    };
    let at_another_time = ["ended-too-soon", "ended-too-late"].contains(&finding.diagnosis().id);
    if !(at_another_time && other_is_well[pool]) {
        return Err(finding);
    }
    let other = milliseconds(setup.pools[1 - pool].limits.read);
    Err(finding.map(|found| {
        let found = found.renamed("one-limit-for-all").with("other_ms", other);
        found.repeat(setup.both_by_hand())
    }))
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
            // By hand the moment can't be met.
            .repeat(Vec::new())
            .fail()),
    }
}

/// Two backends, of which neither answers; over new connections and over used ones.
pub async fn post_not_repeated(scene: &Scene) -> Outcome {
    let limits = Limits { read: drawn(scene, 150..200), total: LONG };
    let setup = Setup::start(scene, &[(TWO, limits)]).await?;
    setup.warms(0, 2 * TWO).await?;
    setup.pools[0].backends.iter().for_each(|backend| backend.always(Act::Hang));
    are_ended(&setup, Limit::Read, &["POST", "POST", "POST", "POST", "GET", "GET"]).await
}

/// Never silent for long, and never done, each of two backends: over new connections and over
/// used ones. No pause is as long as one may be, however busy the machine is. And a backend that
/// is as slow to hang up.
pub async fn slow_drip(scene: &Scene) -> Outcome {
    let limits = [400..480, 600..660].map(|total| {
        let total = drawn(scene, total);
        Limits { read: total + APART, total }
    });
    let setup = Setup::start(scene, &[(TWO, limits[0]), (1, limits[1])]).await?;
    setup.warms(0, 2 * TWO).await?;
    setup.warms(1, 1).await?;
    let reply = Reply::ok("drop by drop").header("x-padding", "drop".repeat(60));
    let drip = Act::Drip { reply, chunk: 1, every: DRIP };
    setup.pools[0].backends.iter().for_each(|backend| backend.always(drip.clone()));
    let methods = ["GET", "GET", "GET", "GET", "POST", "POST"];
    let (drips, again) =
        future::join(are_ended(&setup, Limit::Total, &methods), sent_again(&setup, 1)).await;
    drips.and(again)?;
    // They can be asked again.
    echo(&setup.pools[0].backends);
    setup.is_well(0, "GET").await
}

/// The limit is nearly over when the backend hangs up. Over a used connection that may be a
/// request that it has not seen, and it may be sent again, in what is left of the limit.
async fn sent_again(setup: &Setup<'_>, pool: usize) -> Outcome {
    let total = setup.pools[pool].limits.total;
    let asked = AtomicUsize::new(0);
    setup.pools[pool].backends[0].set_to(move |received| match asked.fetch_add(1, Relaxed) {
        0 => Act::Part {
            reply: Reply::ok(received.target.clone()),
            bytes: 0,
            pause: total - LEFT,
            then: Afterwards::Close,
        },
        _ => Act::Hang,
    });
    let waited = setup.waited(setup.request(pool, "GET"), total).await;
    let exchange = &waited.tried.exchange;
    match &exchange.answer {
        // Whether it is sent again is not the matter here.
        _ if exchange.received.len() < 2 => Ok(()),
        Ok(answer) if answer.status == 504 && waited.took > total + LATE => {
            let found = setup.found("total-begins-anew", pool, Limit::Total, &waited);
            // By hand the moment can't be met.
            Err(found.repeat(Vec::new()).timed().fail())
        }
        Ok(answer) if answer.status == 504 => Ok(()),
        _ => setup.is_ended(pool, Limit::Total, &waited).await,
    }
}

/// Requests with these methods, all at the same time.
async fn are_ended(setup: &Setup<'_>, limit: Limit, methods: &[&str]) -> Outcome {
    let time = setup.pools[0].limits.of(limit);
    let sent = methods.iter().map(|method| setup.waited(setup.request(0, method), time));
    let all = future::join_all(sent).await;
    for waited in &all {
        let exchange = &waited.tried.exchange;
        let times = exchange.received.len();
        if exchange.request.method == "POST" && times > 1 {
            let found = setup.found("post-sent-again", 0, limit, waited);
            return Err(found
                .compared("sent once, then 504", format!("sent {times} times"))
                .fail());
        }
    }
    for waited in &all {
        setup.is_ended(0, limit, waited).await?;
    }
    Ok(())
}
