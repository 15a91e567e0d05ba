//! Connections to backends are used again, whichever client the next request comes from.

use std::collections::BTreeSet;

use super::setup::{Limits, Setup};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::Kept;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::Own;

/// How many requests come one after the other, in each of two ways.
const REQUESTS: usize = 12;

/// Over so many connections they may come to the backend. One would do; but who sends the
/// next request as soon as it has the answer may be quicker than the pool.
const CONNECTIONS: usize = 4;

/// One client that keeps its connection; then clients that have a connection each.
pub async fn reuses_connections(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, &[(1, Limits::NONE); 2]).await?;
    for pool in &setup.pools {
        // Not every answer has a body, and not every body a length.
        pool.backends[0].set_to(|received| match received.method.as_str() {
            "PUT" => Act::Answer(Reply::new(204)),
            "POST" => Act::Answer(Reply::new(404).body("no").framing(Framing::Chunked(1))),
            _ => Act::Answer(Reply::ok(received.target.clone())),
        });
    }
    let mut kept = Kept::new(setup.running.client());
    for own in requests(&setup, 0) {
        let answer = kept.send(&own.request).await;
        is_answered(&setup, own.with_answer(scene, answer).await).await?;
    }
    for own in requests(&setup, 1) {
        is_answered(&setup, own.send(scene, setup.running.client()).await).await?;
    }
    let counts = [0, 1].map(|pool| connections(&setup, pool));
    let (pool, id) = match counts {
        [kept, own] if kept <= CONNECTIONS && own <= CONNECTIONS => return Ok(()),
        [kept, _] if kept <= CONNECTIONS => (1, "connection-for-each-client"),
        _ => (0, "connection-for-each-request"),
    };
    Err(Diagnosis::new(id)
        .compared(format!("at most {CONNECTIONS} connections"), counts[pool])
        .with("requests", REQUESTS)
        .with("connections", counts[pool])
        .with("most", CONNECTIONS)
        .repeat(by_hand())
        .fail())
}

/// Requests of several kinds, in an order that is drawn.
fn requests(setup: &Setup<'_>, pool: usize) -> Vec<Own> {
    let mut methods: Vec<_> =
        ["GET", "GET", "POST", "PUT"].into_iter().cycle().take(REQUESTS).collect();
    setup.scene.draw.shuffle(&mut methods);
    methods.into_iter().map(|method| setup.request(pool, method)).collect()
}

/// By the backend, whatever the answer.
async fn is_answered(setup: &Setup<'_>, tried: crate::judge::stages::own::Tried) -> Outcome {
    let status = match tried.exchange.request.method.as_str() {
        "PUT" => 204,
        "POST" => 404,
        _ => 200,
    };
    let (_, answer) = tried.exchange.through(setup.scene, &setup.running).await?;
    if answer.status == status {
        return Ok(());
    }
    let found = tried.exchange.found(setup.scene, "status-changed");
    Err(found.compared(status, answer.status).fail())
}

/// Over how many connections requests came to a pool.
fn connections(setup: &Setup<'_>, pool: usize) -> usize {
    let name = setup.pools[pool].backends[0].name();
    let of = |log: &crate::backends::recording::Log| {
        log.requests_to(name).map(|one| one.connection).collect::<BTreeSet<_>>().len()
    };
    setup.scene.recorder.read(of)
}

fn by_hand() -> Vec<String> {
    [
        "pingora-lab backends",
        &format!("pingora-lab run {}", super::ID),
        "for i in $(seq 12); do curl -s -o /dev/null 127.0.0.1:6188/get; done; ss -tnH state established '( dport = 6190 or dport = 6191 or dport = 6192 )'",
    ]
    .map(str::to_owned)
    .to_vec()
}
