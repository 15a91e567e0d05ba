//! An upgrade: another process takes over the sockets; the first finishes what it has, and ends.

use std::time::Duration;

use futures_util::future::{self, Either};

use super::setup::{LONG, Plan, Setup, milliseconds};
use super::successor::Successor;
use crate::backends::recording::Received;
use crate::judge::client::{Client, Hello};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried};

/// How many clients come to the successor.
const CLIENTS: usize = 4;

/// How long the first process may take to end when it has nothing left.
const TO_END: Duration = Duration::from_secs(2);

/// A request is under way all the time; the successor has a backend of its own.
pub async fn hand_over(scene: &Scene) -> Outcome {
    let plan = Plan::drawn(scene, LONG).with_successor(scene)?;
    let setup = Setup::start_with(scene, plan).await?;
    let held = setup.held();
    let reaches = held.clone();
    let patient = setup.running.client().patience(LONG);
    let sent = held.send(scene, patient);
    let script = async {
        setup.comes(&reaches).await;
        let successor = Successor::takes_over(&setup).await?;
        successor.first_lets_go(&setup).await?;
        Ok(successor)
    };
    // Where it is cut meanwhile, it is told after what the script has found.
    let (successor, sent) = match future::select(Box::pin(script), Box::pin(sent)).await {
        Either::Left((successor, sent)) => (successor?, Either::Left(sent)),
        Either::Right((tried, script)) => (script.await?, Either::Right(tried)),
    };
    new_connections_go_to(&setup, &successor).await?;
    setup.gate.open();
    let tried = match sent {
        Either::Left(sent) => sent.await,
        Either::Right(tried) => tried,
    };
    is_whole(&setup, &successor, &tried).await?;
    ends(&setup, &successor).await?;
    new_connections_go_to(&setup, &successor).await
}

/// Whoever comes is answered by the successor, over TLS too.
async fn new_connections_go_to(setup: &Setup<'_>, successor: &Successor<'_>) -> Outcome {
    let (scene, running) = (setup.scene, &successor.running);
    for _ in 0..CLIENTS {
        let own = Own::drawn(scene, running, "GET");
        let tried = own.send(scene, running.client()).await;
        if !tried.served() {
            return Err(tried.finding(scene, running).await);
        }
        by_successor(setup, successor, &tried.exchange.received)?;
    }
    let Some((address, certificates)) = &setup.plan.secure else { return Ok(()) };
    let name = certificates.all().iter().flat_map(|one| &one.names).next();
    let name = name.map_or("", String::as_str);
    let request = running.request("GET", scene.draw.path()).for_host(Some(name));
    let mut secured = match Client::new(*address).secure(&Hello::to(name)).await {
        Ok(secured) => secured,
        Err(trouble) => return Err(running.trouble(&trouble, &request).await),
    };
    let sending = secured.connection.send(&request);
    let exchange = Exchange::sent(scene, request.clone(), sending).await;
    exchange.through(scene, running).await?;
    by_successor(setup, successor, &exchange.received)
}

fn by_successor(setup: &Setup<'_>, successor: &Successor<'_>, received: &[Received]) -> Outcome {
    let own = successor.backend.name();
    match received.iter().find(|one| &*one.backend != own) {
        None => Ok(()),
        Some(other) => Err(successor
            .found(setup, "answered-by-old")
            .compared(format!("the backend of the successor's file ({own})"), &*other.backend)
            .with("backend", &*other.backend)
            .fail()),
    }
}

/// What was under way when the successor came is finished by the first process.
async fn is_whole(setup: &Setup<'_>, successor: &Successor<'_>, tried: &Tried) -> Outcome {
    if tried.served() {
        return Ok(());
    }
    let Err(trouble) = &tried.exchange.answer else {
        return Err(tried.finding(setup.scene, &setup.running).await);
    };
    Err(successor
        .found(setup, "old-process-cuts")
        .compared("the whole answer", trouble)
        .with("trouble", trouble.to_string())
        .fail())
}

/// The first process ends, by itself and well.
async fn ends(setup: &Setup<'_>, successor: &Successor<'_>) -> Outcome {
    if let Some(exit) = setup.running.exits_within(TO_END).await {
        return setup.is_zero(exit, "SIGQUIT");
    }
    let limit = TO_END.as_millis();
    Err(successor
        .found(setup, "old-process-stays")
        .compared(
            "the first process has ended",
            format!("it runs {limit} ms after its last answer"),
        )
        .with("still", "runs, with nothing to do")
        .with("after_ms", milliseconds(TO_END))
        .timed()
        .fail())
}
