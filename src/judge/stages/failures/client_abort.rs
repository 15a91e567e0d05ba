//! Clients that leave in the middle: whatever is under way for others goes on, no
//! backend is blamed, and nothing is sent again for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;

use super::start_unaware;
use crate::backends::recording::{Act, Framing, Gate, Log, RecordingBackend, Reply};
use crate::judge::client::{Connection, Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, one_by_one};

/// How many clients leave, in each of three places.
const LEAVING: usize = 20;

/// How long the program may take to pass on what it passes on: nothing is judged
/// by it, for it may keep a body until it has the whole.
const PASSED_ON: Duration = Duration::from_millis(200);

/// How long a client reads of an answer before it leaves.
const READS: Duration = Duration::from_millis(60);

/// How long the program may take to see that its clients have left; nothing is
/// judged by it either.
const SEEN: Duration = Duration::from_millis(500);

/// So many requests reach each of three backends when they take turns.
const AFTERWARDS: usize = 12;

/// Clients leave while others are served, and still are afterwards.
pub async fn client_abort(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    let (gate, mut acts) = (Gate::closed(), HashMap::new());

    let waiting = drawn(scene, &running, &["GET", "POST", "GET", "POST"]);
    for own in &waiting {
        let reply = Reply::ok(own.request.target.clone());
        acts.insert(own.request.target.clone(), Act::Hold(gate.clone(), reply));
    }
    let sending = drawn(scene, &running, &["POST", "POST", "PUT"]);
    let uploads = drawn(scene, &running, &["POST"; LEAVING]);
    let unanswered = drawn(scene, &running, &["GET"; LEAVING]);
    let downloads = drawn(scene, &running, &["GET"; LEAVING]);
    scene.plan(format!("{LEAVING} clients leave inside a body, before and inside the answer"));
    for own in &unanswered {
        acts.insert(own.request.target.clone(), Act::Hang);
    }
    let long = Reply::ok(scene.draw.bytes(200_000)).framing(Framing::Chunked(1000));
    for own in &downloads {
        let (reply, every) = (long.clone(), Duration::from_millis(5));
        acts.insert(own.request.target.clone(), Act::Drip { reply, chunk: 1000, every });
    }
    follow(&backends, acts);

    // The others: some wait for their answers, some are still sending.
    let answers =
        future::join_all(waiting.iter().cloned().map(|own| own.send(scene, running.client())));
    let meanwhile = async {
        let halves = future::try_join_all(sending.iter().map(|own| half(&running, own))).await;
        received(scene, &waiting, Duration::from_secs(1)).await;
        leave(scene, &running, &uploads, &unanswered, &downloads).await?;
        gate.open();
        let mut served = Vec::new();
        let halves = or_finding(&running, &sending[0].request, halves).await?;
        for (own, (mut connection, rest)) in sending.iter().cloned().zip(halves) {
            // If it fails, the answer is not to be had either.
            let _ = connection.write(&rest).await;
            let answer = connection.read_answer(&own.request.method).await;
            served.push(own.with_answer(scene, answer).await);
        }
        Ok::<_, Finding>(served)
    };
    let (mut others, served) = future::join(answers, meanwhile).await;
    others.extend(served?);
    all_served(scene, &running, &others, "under way").await?;

    let methods: Vec<_> = ["GET", "POST"].repeat(AFTERWARDS / 2);
    let afterwards = drawn(scene, &running, &methods);
    let afterwards = one_by_one(scene, &running, afterwards).await;
    all_served(scene, &running, &afterwards, "later").await?;
    nobody_blamed(scene, &backends, &afterwards)?;
    nothing_again(scene, uploads.iter().chain(&unanswered).chain(&downloads))
}

fn drawn(scene: &Scene, running: &Running<'_>, methods: &[&str]) -> Vec<Own> {
    methods.iter().map(|method| Own::drawn(scene, running, method)).collect()
}

/// Every backend does with a target what is said for it, and else answers with it.
fn follow(backends: &[RecordingBackend], acts: HashMap<String, Act>) {
    let acts = Arc::new(acts);
    for backend in backends {
        let acts = Arc::clone(&acts);
        backend.set_to(move |received| {
            let act = acts.get(&received.target).cloned();
            act.unwrap_or_else(|| Act::Answer(Reply::ok(received.target.clone())))
        });
    }
}

/// A connection over which half of the request went, and the other half.
async fn half(running: &Running<'_>, own: &Own) -> Result<(Connection, Vec<u8>), Trouble> {
    let bytes = own.request.to_bytes();
    let head = own.request.head_bytes().len();
    let at = head + (bytes.len() - head) / 2;
    let mut connection = running.client().connect().await?;
    let written = connection.write(&bytes[..at]).await;
    written.map_err(|error| Trouble::Connect(error.to_string()))?;
    Ok((connection, bytes[at..].to_vec()))
}

/// Clients send half of a body, or wait for an answer, or read the beginning of
/// one; then they are gone.
async fn leave(
    scene: &Scene,
    running: &Running<'_>,
    uploads: &[Own],
    unanswered: &[Own],
    downloads: &[Own],
) -> Outcome {
    let uploading = async {
        let halves = future::try_join_all(uploads.iter().map(|own| half(running, own))).await?;
        received(scene, uploads, PASSED_ON).await;
        halves.into_iter().for_each(|(connection, _)| connection.abort());
        Ok::<_, Trouble>(())
    };
    let waiting = async {
        let sent = unanswered.iter().map(|own| sent(running, own));
        let connections = future::try_join_all(sent).await?;
        received(scene, unanswered, Duration::from_secs(1)).await;
        connections.into_iter().for_each(Connection::abort);
        Ok(())
    };
    let reading = async {
        let sent = downloads.iter().map(|own| sent(running, own));
        let connections = future::try_join_all(sent).await?;
        received(scene, downloads, Duration::from_secs(1)).await;
        let reads = connections.into_iter().map(|mut connection| async {
            // As much of the answer as comes in this time.
            let _ = tokio::time::timeout(READS, connection.read_answer("GET")).await;
            connection.abort();
        });
        future::join_all(reads).await;
        Ok(())
    };
    let left = future::try_join3(uploading, waiting, reading).await;
    or_finding(running, &unanswered[0].request, left).await?;

    let gone = |log: &Log| {
        let of = |own: &Own, log: &Log| {
            log.requests()
                .filter(|one| one.target == own.request.target)
                .all(|one| log.peer_left(one.connection).is_some())
        };
        let mut all = uploads.iter().chain(unanswered).chain(downloads);
        all.all(|own| of(own, log)).then_some(())
    };
    scene.recorder.wait_for(Instant::now() + SEEN, gone).await;
    Ok(())
}

async fn sent(running: &Running<'_>, own: &Own) -> Result<Connection, Trouble> {
    let mut connection = running.client().connect().await?;
    let written = connection.write(&own.request.to_bytes()).await;
    written.map_err(|error| Trouble::Connect(error.to_string()))?;
    Ok(connection)
}

/// Waits until a backend has received each of them, or for so long.
async fn received(scene: &Scene, all: &[Own], time: Duration) {
    let there = |log: &Log| {
        let there = |own: &Own| log.requests().any(|one| one.target == own.request.target);
        all.iter().all(there).then_some(())
    };
    scene.recorder.wait_for(Instant::now() + time, there).await;
}

async fn or_finding<T>(
    running: &Running<'_>,
    request: &Request,
    result: Result<T, Trouble>,
) -> Result<T, Finding> {
    match result {
        Ok(value) => Ok(value),
        Err(trouble) => Err(running.trouble(&trouble, request).await),
    }
}

/// All requests of those who did not leave are answered.
async fn all_served(
    scene: &Scene,
    running: &Running<'_>,
    all: &[Tried],
    when: &'static str,
) -> Outcome {
    let failed: Vec<_> = all.iter().filter(|one| !one.served()).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let finding = first.finding(scene, running).await;
    let harmed = match finding.diagnosis().id {
        "empty-reply" | "connection-reset" | "incomplete-answer" | "no-answer" => true,
        "no-longer-listens" | "backend-never-tried" | "status-changed" => true,
        "request-body-changed" | "answer-body-changed" => true,
        // These say by themselves what became of the program.
        _ => false,
    };
    if !harmed {
        return Err(finding);
    }
    let (failed, of) = (failed.len(), all.len());
    Err(finding.map(|found| {
        let first = found.evidence.get("actual").cloned().unwrap_or_default();
        let first = first.as_str().map_or_else(|| first.to_string(), str::to_owned);
        found
            .renamed("abort-harms-others")
            .compared(format!("{of} of {of} requests of other clients served"), of - failed)
            .with("failed", failed)
            .with("of", of)
            .with("when", when)
            .with("first", first)
            .repeat(by_hand())
    }))
}

fn nobody_blamed(scene: &Scene, backends: &[RecordingBackend], all: &[Tried]) -> Outcome {
    let got = |backend: &RecordingBackend| {
        let receipts = all.iter().flat_map(|one| &one.exchange.received);
        receipts.filter(|one| &*one.backend == backend.name()).count()
    };
    let Some(left_out) = backends.iter().find(|backend| got(backend) == 0) else { return Ok(()) };
    let (name, of) = (left_out.name(), all.len());
    let shares: Vec<_> =
        backends.iter().map(|backend| format!("{}: {}", backend.name(), got(backend))).collect();
    Err(all[0]
        .exchange
        .found(scene, "abort-marks-backend-down")
        .compared(format!("a share of {of} requests to {name}"), shares.join(", "))
        .with("backend", name)
        .with("of", of)
        .repeat(by_hand())
        .fail())
}

fn nothing_again<'a>(scene: &Scene, left: impl Iterator<Item = &'a Own>) -> Outcome {
    for own in left {
        let target = &own.request.target;
        let times =
            scene.recorder.read(|log| log.requests().filter(|one| one.target == *target).count());
        if times > 1 {
            let request = format!("{} {target}", own.request.method);
            return Err(crate::judge::diagnosis::Diagnosis::new("aborted-sent-again")
                .compared("sent at most once", format!("sent {times} times"))
                .with("request", request)
                .with("times", times)
                .repeat(by_hand())
                .fail());
        }
    }
    Ok(())
}

fn by_hand() -> Vec<String> {
    [
        "pingora-lab backends",
        "LAB_BACKENDS=127.0.0.1:6190 pingora-lab run 06-failures",
        "for i in 1 2 3 4 5 6 7 8; do curl --max-time 0.2 http://127.0.0.1:6188/delay/3 & done; wait",
        "pingora-lab probe --count 12 --fail http://127.0.0.1:6188/get",
    ]
    .map(str::to_owned)
    .to_vec()
}
