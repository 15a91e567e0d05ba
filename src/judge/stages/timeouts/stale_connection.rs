//! A backend closes a connection that nobody uses: no request is the worse for it.

use std::time::{Duration, Instant};

use super::setup::{Limits, Setup};
use crate::backends::recording::{Act, Afterwards, Log, Reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Tried, echo};
use crate::judge::stages::stale;

/// How often a backend closes what is idle.
const TIMES: usize = 6;

/// How long a program may take to see that a connection was closed; whoever has not seen it by
/// then has not looked.
const TO_BE_SEEN: Duration = Duration::from_millis(100);

/// A backend whose patience is over while nobody asks; one that closes behind every answer
/// without a word; one that closes when the next request comes.
pub async fn stale_connection(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, &[(1, Limits::NONE); 3]).await?;
    closed_while_idle(&setup, 0).await?;
    closed_behind_the_answer(&setup, 1).await?;
    let (running, backend) = (&setup.running, &setup.pools[2].backends[0]);
    let target = || setup.target(2);
    stale::gets_are_saved(scene, running, backend, &target).await
}

/// GETs, as quickly as they can come: some meet with the end of the connection.
async fn closed_behind_the_answer(setup: &Setup<'_>, pool: usize) -> Outcome {
    setup.pools[pool].backends[0].set_to(|received| {
        let reply = Reply::ok(received.target.clone());
        Act::Raw(reply.to_bytes(&received.method), Afterwards::Close)
    });
    for _ in 0..TIMES {
        let tried = setup.request(pool, "GET").send(setup.scene, setup.running.client()).await;
        is_answered(setup, &tried, stale::not_saved).await?;
    }
    Ok(())
}

/// Of a connection that was closed long ago everybody can know: even a POST, which can't be sent
/// again, is not sent over it.
async fn closed_while_idle(setup: &Setup<'_>, pool: usize) -> Outcome {
    let backend = &setup.pools[pool].backends[0];
    echo(&setup.pools[pool].backends);
    for method in ["GET", "POST"] {
        setup.is_well(pool, "GET").await?;
        let before = Instant::now();
        backend.close_connections();
        let closed = |log: &Log| {
            let mut open = log.connections_to(backend.name());
            open.all(|one| log.closed(one.connection).is_some()).then_some(())
        };
        setup.scene.recorder.wait_for(before + TO_BE_SEEN, closed).await;
        tokio::time::sleep(TO_BE_SEEN).await;
        let tried = setup.request(pool, method).send(setup.scene, setup.running.client()).await;
        is_answered(setup, &tried, |_| "idle-close-costs-request").await?;
    }
    Ok(())
}

async fn is_answered(setup: &Setup<'_>, tried: &Tried, id: fn(u16) -> &'static str) -> Outcome {
    let status = match &tried.exchange.answer {
        Ok(answer) if answer.status == 200 && answer.text() == tried.exchange.request.target => {
            return Ok(());
        }
        Ok(answer) if answer.status >= 500 => answer.status,
        _ => return Err(tried.finding(setup.scene, &setup.running).await),
    };
    Err(tried
        .exchange
        .found(setup.scene, id(status))
        .compared("the backend's answer, over a new connection", status)
        .with("status", status)
        // By hand the moment can't be met.
        .repeat(Vec::new())
        .timed()
        .fail())
}
