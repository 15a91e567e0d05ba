//! Requests that wait for a backend hold up nobody else.

use std::time::{Duration, Instant};

use futures_util::future::{self, Either};

use super::setup::{Limit, Limits, Setup};
use crate::backends::recording::{Act, Gate, Reply};
use crate::judge::client::Trouble;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::Own;

/// How many wait.
const WAITING: usize = 40;

/// How long they may take to come to the backend; nothing is judged by it.
const TO_COME: Duration = Duration::from_millis(600);

/// How many others come, to each of the pools.
const OTHERS: usize = 6;

/// How long the others may take.
const SOON: Duration = Duration::from_millis(600);

/// A part of the target of those that wait.
const WAITS: &str = "/waits/";

/// One backend holds those; the others go to the same backend and to that of another pool.
pub async fn others_not_held(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, &[(1, Limits::NONE); 2]).await?;
    let gate = Gate::closed();
    let hold = gate.clone();
    setup.pools[0].backends[0].set_to(move |received| {
        let reply = Reply::ok(received.target.clone());
        if received.target.contains(WAITS) {
            Act::Hold(hold.clone(), reply)
        } else {
            Act::Answer(reply)
        }
    });
    let client = setup.running.client();
    let waiting = (0..WAITING).map(|number| {
        let target = format!("{}{WAITS}{number}", setup.target(0));
        let request = setup.running.request("GET", target);
        async move { client.send(&request).await }
    });
    let waiting = future::join_all(waiting);
    let others = async {
        let begun = Instant::now();
        while gate.waiting() < WAITING && begun.elapsed() < TO_COME {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        served_soon(&setup).await
    };
    // Those that wait are dropped when the others are done.
    match future::select(Box::pin(others), Box::pin(waiting)).await {
        Either::Left((others, _)) => others,
        Either::Right((_, others)) => others.await,
    }
}

async fn served_soon(setup: &Setup<'_>) -> Outcome {
    let others = (0..2 * OTHERS).map(|number| {
        let pool = number % 2;
        let own: Own = setup.request(pool, "GET");
        async move { (pool, setup.waited(own, Duration::ZERO).await) }
    });
    for (pool, waited) in future::join_all(others).await {
        if waited.tried.served() && waited.took <= SOON {
            continue;
        }
        let held = waited.tried.served()
            || matches!(waited.tried.exchange.answer, Err(Trouble::NoAnswer { .. }));
        if !held {
            return Err(waited.tried.finding(setup.scene, &setup.running).await);
        }
        return Err(setup
            .found("others-held-up", pool, Limit::Total, &waited)
            .compared("an answer at once", format!("{:.1} s", waited.took.as_secs_f64()))
            .with("waiting", WAITING)
            .repeat(Vec::new())
            .timed()
            .fail());
    }
    Ok(())
}
