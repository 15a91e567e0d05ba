//! Whoever is slow and keeps the limits is waited for: a long download, a client with a slow
//! line, a backend that thinks; and what has come in time does not end what comes after it.

use std::time::{Duration, Instant};

use futures_util::future;

use super::setup::{Limit, Limits, Setup, Waited, drawn, milliseconds};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, echo};

/// By how much a download and an upload are longer than the limit of the whole.
const LONGER: Duration = Duration::from_millis(200);

/// The pieces of a download.
const PIECES: u32 = 10;

/// The pause between two pieces of an upload.
const PAUSE: Duration = Duration::from_millis(90);

/// How much sooner than the limit of the request before the next one is sent.
const BEFORE: Duration = Duration::from_millis(130);

/// How much later it is answered.
const BEHIND: Duration = Duration::from_millis(90);

/// A pool for each kind, all at the same time.
pub async fn patient(scene: &Scene) -> Outcome {
    let limits = Limits { read: drawn(scene, 560..600), total: drawn(scene, 560..610) };
    let setup = Setup::start(scene, &[(1, limits); 3]).await?;
    let (next, download, upload) =
        future::join3(next_request(&setup, 2), long_download(&setup, 0), long_upload(&setup, 1))
            .await;
    next.and(download).and(upload)
}

/// It takes longer than the head may, and no pause is as long as one may be.
async fn long_download(setup: &Setup<'_>, pool: usize) -> Outcome {
    let time = setup.pools[pool].limits.total + LONGER;
    setup.pools[pool].backends[0].set_to(move |received| {
        let reply = Reply::ok(received.target.clone()).framing(Framing::Chunked(2));
        let length = reply.to_bytes(&received.method).len();
        let chunk = length.div_ceil(usize::try_from(PIECES).unwrap_or(1));
        Act::Drip { reply, chunk, every: time / (PIECES - 1) }
    });
    let waited = setup.waited(setup.request(pool, "GET"), time).await;
    is_whole(setup, "download-cut", pool, time, &waited).await
}

/// The client takes longer than the head may; the backend answers at once.
async fn long_upload(setup: &Setup<'_>, pool: usize) -> Outcome {
    let scene = setup.scene;
    let time = setup.pools[pool].limits.total + LONGER;
    let pieces = usize::try_from(time.as_millis().div_ceil(PAUSE.as_millis())).unwrap_or(1);
    let body = scene.draw.bytes(pieces * 500);
    let target = setup.target(pool);
    let request = setup.running.request("POST", &*target).body(body);
    let begun = Instant::now();
    let sent = async {
        let mut connection = setup.running.client().connect().await?;
        let (whole, head) = (request.to_bytes(), request.head_bytes().len());
        // Whoever has hung up has answered, or not.
        let mut writes = connection.write(&whole[..head]).await.is_ok();
        for piece in whole[head..].chunks(500) {
            tokio::time::sleep(PAUSE).await;
            writes = writes && connection.write(piece).await.is_ok();
        }
        connection.read_answer("POST").await
    };
    let answer = sent.await;
    let took = begun.elapsed();
    let tried = Own::of(request.clone()).with_answer(scene, answer).await;
    is_whole(setup, "slow-client-cut", pool, time, &Waited { tried, took }).await
}

/// The last pool's first request was answered at once; the next, over the same connection, takes
/// a good third of what it may, and is under way when the first would be late.
async fn next_request(setup: &Setup<'_>, pool: usize) -> Outcome {
    let limits = setup.pools[pool].limits;
    let time = BEFORE + BEHIND;
    setup.pools[pool].backends[0]
        .set_to(move |received| Act::Delay(time, Reply::ok(received.target.clone())));
    tokio::time::sleep((limits.total - BEFORE).saturating_sub(setup.last_asked.elapsed())).await;
    let waited = setup.waited(setup.request(pool, "POST"), time).await;
    is_whole(setup, "next-request-cut", pool, time, &waited).await
}

/// Nobody has cut it off.
async fn is_whole(
    setup: &Setup<'_>,
    id: &'static str,
    pool: usize,
    time: Duration,
    waited: &Waited,
) -> Outcome {
    let Tried { exchange, .. } = &waited.tried;
    let cut_off = match &exchange.answer {
        Ok(answer) if answer.status == 200 && answer.text() == exchange.request.target => {
            return Ok(());
        }
        Ok(answer) => answer.status >= 500,
        Err(Trouble::Incomplete { .. } | Trouble::EmptyReply | Trouble::Reset) => {
            setup.running.ended().await.is_none()
        }
        Err(_) => false,
    };
    if !cut_off || exchange.received.is_empty() {
        return Err(waited.tried.finding(setup.scene, &setup.running).await);
    }
    let found = setup.found(id, pool, Limit::Total, waited);
    let limits = setup.pools[pool].limits;
    let actual = found.evidence.get("seen").and_then(|seen| seen.as_str()).unwrap_or_default();
    let actual = format!("{actual}, after {} ms", waited.took.as_millis());
    let found: Result<(), Finding> = Err(found
        .compared(format!("the whole answer, after about {} ms", time.as_millis()), actual)
        .with("time_ms", milliseconds(time))
        .with("read_ms", milliseconds(limits.read))
        .repeat(Vec::new())
        .timed()
        .fail());
    echo(&setup.pools[pool].backends);
    found
}
