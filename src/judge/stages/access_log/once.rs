//! Every request has its line, and no request has two: served, refused by the
//! backend, failed, tried again, given up by the client.

use std::time::{Duration, Instant};

use super::lines::{about, found, missing};
use crate::backends::recording::{Act, Log, Reply};
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::named_proxy::NamedProxy;
use crate::judge::stages::own::{listen, refuse};

/// How long a request of a client that leaves may take to reach a backend.
const ARRIVES: Duration = Duration::from_secs(1);

/// A request that was sent, and what it shows if it has several lines.
struct Sent {
    request: Request,
    word: String,
    several: &'static str,
}

/// Each kind in turn, a few requests of each.
pub async fn every_request_once(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let mut all = Vec::new();
    // Of each backend's own: served, with whatever status.
    for (method, status, id) in [
        ("GET", 200, "line-missing"),
        ("POST", 201, "line-missing"),
        ("HEAD", 200, "line-missing"),
        ("GET", 404, "error-answer-not-logged"),
        ("GET", 500, "error-answer-not-logged"),
    ] {
        proxy.answer_with(&Reply::new(status).body(scene.draw.word()));
        all.push(logged(&proxy, method, id, "line-twice").await?);
    }

    // One is asked in vain: with two requests, one of them is tried twice.
    proxy.answer_with(&Reply::ok("well"));
    scene.plan("one backend refuses, then both, then none");
    refuse(scene, &proxy.backends[0])?;
    for method in ["GET", "POST", "GET", "POST"] {
        all.push(logged(&proxy, method, "line-missing", "line-for-each-try").await?);
    }

    // Nobody answers: the answer is the proxy's own.
    refuse(scene, &proxy.backends[1])?;
    for method in ["GET", "POST"] {
        all.push(logged(&proxy, method, "failure-not-logged", "line-for-each-try").await?);
    }
    proxy.backends.iter().try_for_each(|backend| listen(scene, backend))?;
    proxy.backends.iter().for_each(|backend| backend.always(Act::ResetBeforeAnswer));
    all.push(logged(&proxy, "POST", "failure-not-logged", "line-twice").await?);
    all.push(client_leaves(&proxy).await?);

    // A second line may come behind the answer; those of all others have come by now.
    all.iter().try_for_each(|sent| no_second(&proxy, sent))
}

/// Sends a request and waits for its line, the answer being what it may.
async fn logged(
    proxy: &NamedProxy<'_>,
    method: &str,
    none: &'static str,
    several: &'static str,
) -> Result<Sent, Finding> {
    let (request, word) = drawn(proxy, method);
    let answer = proxy.running.client().send(&request).await;
    if let Err(trouble) = &answer {
        return Err(proxy.running.trouble(trouble, &request).await);
    }
    has_a_line(proxy, Sent { request, word, several }, none).await
}

/// A client that waits for its answer and then does not.
async fn client_leaves(proxy: &NamedProxy<'_>) -> Result<Sent, Finding> {
    let (scene, (request, word)) = (proxy.scene, drawn(proxy, "GET"));
    proxy.backends.iter().for_each(|backend| backend.always(Act::Hang));
    let mut connection = match proxy.running.client().connect().await {
        Ok(connection) => connection,
        Err(trouble) => return Err(proxy.running.trouble(&trouble, &request).await),
    };
    // If it fails, the request does not arrive.
    let _ = connection.write(&request.to_bytes()).await;
    let arrived = |log: &Log| log.requests().any(|one| one.target == request.target).then_some(());
    scene.recorder.wait_for(Instant::now() + ARRIVES, arrived).await;
    connection.abort();
    has_a_line(proxy, Sent { request, word, several: "line-twice" }, "abort-not-logged").await
}

async fn has_a_line(
    proxy: &NamedProxy<'_>,
    sent: Sent,
    none: &'static str,
) -> Result<Sent, Finding> {
    if about(&proxy.running, &sent.word).await.is_empty() {
        return Err(missing(proxy.scene, &proxy.running, &sent.request, none));
    }
    no_second(proxy, &sent)?;
    Ok(sent)
}

fn no_second(proxy: &NamedProxy<'_>, sent: &Sent) -> Outcome {
    let lines: Vec<_> =
        proxy.running.lines().into_iter().filter(|line| line.contains(&sent.word)).collect();
    let [first, second, ..] = lines.as_slice() else { return Ok(()) };
    Err(found(proxy.scene, sent.several, &sent.request)
        .compared("1 line", format!("{} lines", lines.len()))
        .with("times", lines.len())
        .with("first", &**first)
        .with("second", &**second)
        .fail())
}

/// A request, and a word of its target that no other has.
fn drawn(proxy: &NamedProxy<'_>, method: &str) -> (Request, String) {
    let draw = &proxy.scene.draw;
    let word = format!("{}{}", draw.word(), draw.number(100_000..1_000_000));
    let target = format!("/anything/{word}?{}", draw.word());
    proxy.scene.plan(format!("{method} {target}"));
    let request = proxy.running.request(method, target);
    let request = if method == "POST" { request.body(draw.bytes(20)) } else { request };
    (request, word)
}
