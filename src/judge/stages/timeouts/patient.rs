//! Whoever is slow and keeps the limits is waited for: a long download, a client with a slow
//! line, a client that only listens, a backend that thinks; and what has come in time does not
//! end what comes after it.

use std::time::{Duration, Instant};

use futures_util::future;

use super::setup::{Limit, Limits, Setup, Waited, drawn, milliseconds};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, echo};

/// By how much a download, an upload and a tunnel are longer than the limit of the whole.
const LONGER: Duration = Duration::from_millis(200);

/// The pieces of a download, and of what is said in a tunnel.
const PIECES: u32 = 10;

/// The pause between two pieces of an upload.
const PAUSE: Duration = Duration::from_millis(90);

/// How much sooner than the limit of the request before the next one is sent.
const BEFORE: Duration = Duration::from_millis(130);

/// How much later it is answered.
const BEHIND: Duration = Duration::from_millis(90);

/// How often a backend says in a tunnel what it has to say: so that the head is in the first piece.
const REPEATS: usize = 60;

/// How long a backend thinks before it changes to another protocol. Pingora 0.9.1 takes the end
/// of a request for the end of the tunnel where the 101 is there before that end has been handed
/// on (`proxy_handle_upstream` reads both in no certain order), which a fraction of a millisecond
/// and the machine decide, and no program.
const THINKS: Duration = Duration::from_millis(50);

/// What is to come, whole.
struct Wanted {
    status: u16,
    body: String,
    /// About when its last byte does.
    time: Duration,
}

/// A pool for each kind, all at the same time.
pub async fn patient(scene: &Scene) -> Outcome {
    let limits = Limits { read: drawn(scene, 560..600), total: drawn(scene, 560..610) };
    let setup = Setup::start(scene, &[(1, limits); 4]).await?;
    let (next, download, upload, tunnel) = future::join4(
        next_request(&setup, 3),
        long_download(&setup, 0),
        long_upload(&setup, 1),
        long_tunnel(&setup, 2),
    )
    .await;
    next.and(download).and(upload).and(tunnel)
}

/// It takes longer than the head may, and no pause is as long as one may be.
async fn long_download(setup: &Setup<'_>, pool: usize) -> Outcome {
    let time = setup.pools[pool].limits.total + LONGER;
    setup.pools[pool].backends[0].set_to(move |received| {
        let reply = Reply::ok(received.target.clone()).framing(Framing::Chunked(2));
        in_pieces(reply, &received.method, time)
    });
    let waited = setup.waited(setup.request(pool, "GET"), time).await;
    is_whole(setup, "download-cut", pool, echoed(&waited, time), &waited).await
}

/// The backend changes to another protocol, and speaks for longer than the head may take; the
/// client listens.
async fn long_tunnel(setup: &Setup<'_>, pool: usize) -> Outcome {
    let time = setup.pools[pool].limits.total + LONGER;
    // Pingora lets no other protocol through.
    let websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let request = setup.running.request("GET", setup.target(pool));
    let request = websocket.iter().fold(request, |all, (name, value)| all.header(*name, value));
    let request = request
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    setup.pools[pool].backends[0].set_to(move |received| {
        let reply = Reply::new(101).body(received.target.repeat(REPEATS));
        let reply = websocket.iter().fold(reply, |all, (name, value)| all.header(*name, value));
        let reply = reply.header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        in_pieces(reply, &received.method, time).after(THINKS)
    });
    let time = THINKS + time;
    let body = request.target.repeat(REPEATS);
    let waited = setup.waited(Own::of(request), time).await;
    is_whole(setup, "tunnel-cut", pool, Wanted { status: 101, body, time }, &waited).await
}

/// So that the last piece comes after this time.
fn in_pieces(reply: Reply, method: &str, time: Duration) -> Act {
    let length = reply.to_bytes(method).len();
    let chunk = length.div_ceil(usize::try_from(PIECES).unwrap_or(1));
    Act::Drip { reply, chunk, every: time / (PIECES - 1) }
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
    let waited = Waited { tried, took };
    is_whole(setup, "slow-client-cut", pool, echoed(&waited, time), &waited).await
}

/// The last pool's first request was answered at once; the next, over the same connection, takes
/// a good third of what it may, and is under way when the first would be late.
async fn next_request(setup: &Setup<'_>, pool: usize) -> Outcome {
    let limits = setup.pools[pool].limits;
    let time = BEFORE + BEHIND;
    setup.pools[pool].backends[0]
        .set_to(move |received| Act::Answer(Reply::ok(received.target.clone())).after(time));
    tokio::time::sleep((limits.total - BEFORE).saturating_sub(setup.last_asked.elapsed())).await;
    let waited = setup.waited(setup.request(pool, "POST"), time).await;
    is_whole(setup, "next-request-cut", pool, echoed(&waited, time), &waited).await
}

/// Its target, after about this time.
fn echoed(waited: &Waited, time: Duration) -> Wanted {
    Wanted { status: 200, body: waited.tried.exchange.request.target.clone(), time }
}

/// Nobody has cut it off.
async fn is_whole(
    setup: &Setup<'_>,
    id: &'static str,
    pool: usize,
    wanted: Wanted,
    waited: &Waited,
) -> Outcome {
    let Tried { exchange, .. } = &waited.tried;
    let cut_off = match &exchange.answer {
        Ok(answer) if answer.status == wanted.status && answer.text() == wanted.body => {
            return Ok(());
        }
        // Where a tunnel ends, nothing says whether that is its end.
        Ok(answer) if answer.status == 101 => {
            wanted.status == 101 && wanted.body.starts_with(&answer.text())
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
        .compared(format!("the whole answer, after about {} ms", wanted.time.as_millis()), actual)
        .with("time_ms", milliseconds(wanted.time))
        .with("read_ms", milliseconds(limits.read))
        .repeat(Vec::new())
        .timed()
        .fail());
    echo(&setup.pools[pool].backends);
    found
}
