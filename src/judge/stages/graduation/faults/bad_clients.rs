//! Clients that leave in the middle, that drip, say nothing or nonsense: they cost nobody else
//! anything, and are let go when they go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;

use super::backends_fail::{ENOUGH, holding};
use super::load::Wish;
use super::site::{Phase, SERVED, Site};
use super::trial::{LEAVE, nobody_blamed, open};
use crate::backends::recording::{Act, Afterwards, Gate, Received, Reply};
use crate::judge::client::Connection;
use crate::judge::diagnosis::Finding;
use crate::judge::stage::Outcome;

/// How many clients send half of a body and wait.
const UPLOADS: usize = 24;

/// How many send a byte of their head now and then, say nothing, or say what is no HTTP.
const DRIPS: usize = 6;
const SILENT: usize = 12;
const NONSENSE: usize = 6;

/// How many leave while they wait for their answer: so many at a time, so often.
const WAITING: usize = 20;
const WAVES: usize = 7;

/// How many leave in the middle of their answer.
const READING: usize = 8;

/// How long the rest of an answer is waited for that clients leave in the middle.
const TO_READ: Duration = Duration::from_secs(20);

/// The pause between two bytes of a head.
const DRIP: Duration = Duration::from_millis(25);

/// How long a connection to a backend may outlive the client whose request it has.
const LET_GO: Duration = Duration::from_secs(2);

/// All of them, in the pool that waits for long: no backend is to fail them.
///
/// # Errors
///
/// Somebody else was held up, or something of them is still there.
pub async fn bad_clients(site: &Site<'_>, nonsense: &[u8]) -> Outcome {
    site.turn(Phase::BadClients).await;
    stalled(site).await?;
    let others = beside_others(site, nonsense).await?;
    others.into_iter().for_each(Connection::abort);
    waves(site, WAVES).await?;
    reading(site).await?;
    // Those who come now have nothing to do with it.
    site.serves(ENOUGH).await;
    let_go(site).await
}

/// Clients that send half of a body and stall for longer than a backend is given to answer.
async fn stalled(site: &Site<'_>) -> Outcome {
    let pool = &site.pools.stalled;
    let uploads: Vec<_> =
        (0..LEAVE).map(|nth| Wish::to(site, pool, "POST", format!("stalls-{nth}"))).collect();
    let connections = future::try_join_all(halves(site, &uploads)).await?;
    let targets = uploads.iter().map(|wish| wish.request.target.clone()).collect();
    site.received(&targets).await;
    tokio::time::sleep(site.pools.read * 3 / 2).await;
    connections.into_iter().for_each(Connection::abort);
    targets.iter().for_each(|target| site.leaves(target.clone(), "sent half of its body"));
    site.sees_gone(&targets).await;
    nobody_blamed(site, pool, "bad-client-costs-others").await
}

/// Some that are there while others come.
async fn beside_others(site: &Site<'_>, nonsense: &[u8]) -> Result<Vec<Connection>, Finding> {
    let (web, api) = (&site.pools.web, &site.pools.api);
    let uploads: Vec<_> =
        (0..UPLOADS).map(|nth| Wish::to(site, api, "POST", format!("half-{nth}"))).collect();
    let halves = future::try_join_all(halves(site, &uploads)).await?;
    let drips: Vec<_> =
        (0..DRIPS).map(|nth| Wish::to(site, web, "GET", format!("drip-{nth}"))).collect();
    let mut dripping = future::try_join_all(beginnings(site, &drips)).await?;
    let mut others = Vec::new();
    for nth in 0..SILENT + NONSENSE {
        let wish = Wish::to(site, web, "GET", format!("nothing-{nth}"));
        others.push(site.sends(&wish, if nth < SILENT { b"" } else { nonsense }).await?);
    }
    let targets = uploads.iter().map(|wish| wish.request.target.clone()).collect();
    site.received(&targets).await;

    let served = site.serves(ENOUGH);
    let drip = async {
        loop {
            for connection in &mut dripping {
                // Whoever is no longer waited for need not go on.
                let _ = connection.write(b"x").await;
            }
            tokio::time::sleep(DRIP).await;
        }
    };
    let served = tokio::select! {
        served = served => served,
        () = drip => false,
    };
    halves.into_iter().for_each(Connection::abort);
    targets.into_iter().for_each(|target| site.leaves(target, "sent half of its body"));
    others.extend(dripping);
    if served {
        return Ok(others);
    }
    Err(site
        .found("bad-client-holds-others")
        .compared(format!("{ENOUGH} GETs and {ENOUGH} POSTs of others served"), "fewer")
        .with("uploads", UPLOADS)
        .with("dripping", DRIPS)
        .with("silent", SILENT + NONSENSE)
        .with("seconds", SERVED.as_secs())
        .timed()
        .fail())
}

fn halves<'a>(
    site: &'a Site<'_>,
    wishes: &'a [Wish],
) -> Vec<impl Future<Output = Result<Connection, Finding>> + Send + use<'a>> {
    let half = |wish: &'a Wish| async move { site.sends(wish, &wish.half()).await };
    wishes.iter().map(half).collect()
}

/// Heads that are not whole.
fn beginnings<'a>(
    site: &'a Site<'_>,
    wishes: &'a [Wish],
) -> Vec<impl Future<Output = Result<Connection, Finding>> + Send + use<'a>> {
    let begin = |wish: &'a Wish| async move {
        let mut head = wish.request.head_bytes().to_vec();
        head.truncate(head.len() - 2);
        head.extend(b"X-Drip: ");
        site.sends(wish, &head).await
    };
    wishes.iter().map(begin).collect()
}

/// Clients that wait for their answers, and then do not.
///
/// # Errors
///
/// The program does not let them come.
pub async fn waves(site: &Site<'_>, count: usize) -> Outcome {
    for _ in 0..count {
        let wave = site.number();
        let hold = holding(&Gate::closed());
        site.ledger.always(None, &format!("/wait-{wave}-"), hold);
        let wishes: Vec<_> = (0..WAITING)
            .map(|nth| Wish::to(site, &site.pools.api, "GET", format!("wait-{wave}-{nth}")))
            .collect();
        site.leave(&wishes, "waited for its answer").await?;
    }
    Ok(())
}

/// Clients that have read the beginning of an answer.
async fn reading(site: &Site<'_>) -> Outcome {
    let part = Arc::new(|reply: Reply| {
        let bytes = reply.to_bytes("GET").len() - 1;
        Act::Part { reply, bytes, pause: TO_READ, then: Afterwards::Close }
    });
    let api = &site.pools.api;
    site.ledger.always(None, &format!("{}/read-", api.prefix), part);
    let wishes: Vec<_> =
        (0..READING).map(|nth| Wish::to(site, api, "GET", format!("read-{nth}"))).collect();
    let read = |wish| async move {
        let wish: &Wish = wish;
        let mut connection = site.sends(wish, &wish.request.to_bytes()).await?;
        connection.read_some(60).await;
        connection.abort();
        site.leaves(wish.request.target.clone(), "had the beginning of its answer");
        Ok::<_, Finding>(())
    };
    let read: Vec<_> = wishes.iter().map(read).collect();
    future::try_join_all(read).await.map(drop)
}

/// No backend has a connection any more whose request nobody waits for.
async fn let_go(site: &Site<'_>) -> Outcome {
    let left = site.left.lock().clone();
    let waits = left.iter().filter(|left| left.how != HAD_IT);
    let waits: HashSet<_> = waits.map(|left| left.target.as_str()).collect();
    let is_one = |one: &Received| waits.contains(one.target.as_str());
    if site.logged(LET_GO, |log| open(log, is_one).next().is_none()).await {
        return Ok(());
    }
    let kept = site.scene.recorder.read(|log| open(log, is_one).next().cloned());
    let Some(one) = kept else { return Ok(()) };
    let how = left.iter().find(|left| left.target == one.target).map_or("", |left| left.how);
    Err(site
        .found("connection-outlives-client")
        .compared("its connection to the backend ended", "it is still open")
        .with("request", format!("{} {}", one.method, one.target))
        .with("backend", &*one.backend)
        .with("how", how)
        .with("seconds", LET_GO.as_secs())
        .timed()
        .fail())
}

/// How a client left that had its whole answer: the connection to the backend is free then.
pub const HAD_IT: &str = "had its answer";
