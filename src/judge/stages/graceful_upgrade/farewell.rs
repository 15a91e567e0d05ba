//! Clients that keep their connections: on SIGTERM they are told that there is no next request.

use std::time::Duration;

use futures_util::future;

use super::setup::{LONG, Setup};
use super::slow_answers::is_finished;
use crate::judge::client::{Answer, Connection, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::Own;

/// How long an idle connection may stay open.
const TO_CLOSE: Duration = Duration::from_secs(1);

/// One connection is idle when the signal comes; over another an answer is waited for, so that
/// the process is still there.
pub async fn keepalive_closed(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    let (idle, busy) = (kept(&setup).await?, kept(&setup).await?);
    let (Some(idle), Some(mut busy)) = (idle, busy) else {
        // Whoever closes after each answer has nobody to tell.
        return Ok(());
    };
    let held = setup.held();
    let reaches = held.clone();
    let waits = async {
        let answer = busy.send(&held.request).await;
        held.with_answer(scene, answer).await
    };
    let script = async {
        setup.comes(&reaches).await;
        setup.running.terminate().await?;
        let closed = is_closed(&setup, idle).await;
        setup.gate.open();
        closed
    };
    let (held, closed) = future::join(waits, script).await;
    is_finished(&setup, &held, "waited for its backend").await?;
    closed?;
    match &held.exchange.answer {
        Ok(answer) if says_close(answer) => Ok(()),
        Ok(answer) => {
            let values = answer.values("connection").join(", ");
            let said = if values.is_empty() { "nothing".to_owned() } else { values };
            Err(setup
                .found("not-told-to-close")
                .compared("connection: close", &said)
                .with("said", said)
                .repeat(setup.by_hand("SIGTERM"))
                .fail())
        }
        Err(_) => Ok(()),
    }
}

/// A connection over which one request was answered, if it may be used again.
async fn kept(setup: &Setup<'_>) -> Result<Option<Connection>, Finding> {
    let own = Own::drawn(setup.scene, &setup.running, "GET");
    let request = own.request.clone();
    let connected = setup.running.client().connect().await;
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(trouble) => return Err(setup.running.trouble(&trouble, &request).await),
    };
    let answer = connection.send(&request).await;
    let tried = own.with_answer(setup.scene, answer).await;
    if !tried.served() {
        return Err(tried.finding(setup.scene, &setup.running).await);
    }
    let reusable = tried.exchange.answer.is_ok_and(|answer| answer.reusable);
    Ok(reusable.then_some(connection))
}

/// It is closed; or the next request is answered, and told that there will be no other.
async fn is_closed(setup: &Setup<'_>, connection: Connection) -> Outcome {
    let patience = setup.running.client().patience;
    let mut connection = connection.patience(TO_CLOSE);
    if connection.end().await.is_some() {
        return Ok(());
    }
    let mut connection = connection.patience(patience);
    let own = Own::drawn(setup.scene, &setup.running, "GET");
    let answer = connection.send(&own.request).await;
    match answer {
        Ok(answer) if !says_close(&answer) => Err(setup
            .found("idle-kept-open")
            .compared("closed, or connection: close", "its next request was answered as before")
            .repeat(setup.by_hand_idle())
            .timed()
            .fail()),
        Err(trouble @ Trouble::NoAnswer { .. }) => Err(setup
            .found("idle-kept-open")
            .compared("closed, or connection: close", trouble)
            .repeat(setup.by_hand_idle())
            .timed()
            .fail()),
        // Closed meanwhile, or told.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn says_close(answer: &Answer) -> bool {
    let values = answer.values("connection");
    values
        .iter()
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case("close"))
}
