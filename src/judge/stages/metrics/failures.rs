//! What fails is counted too, and once: at the backend that it went to last, or at none.

use std::time::{Duration, Instant};

use super::measured::{Counts, Measured, class, counts, in_words, total};
use crate::backends::recording::{Act, Log};
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{listen, refuse};

/// How long a request of a client that leaves may take to reach a backend.
const ARRIVES: Duration = Duration::from_secs(1);

/// How long a second count may come behind the first.
const SECOND: Duration = Duration::from_millis(60);

/// What a step leads to, where it is counted otherwise than once.
struct Ids {
    not_counted: &'static str,
    twice: &'static str,
}

const FAILURE: Ids = Ids { not_counted: "failure-not-counted", twice: "failure-counted-twice" };

/// Tried twice, refused by all, broken off, refused by the program itself, left.
pub async fn failures_counted(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    measured.send(measured.request("GET")).await?;
    measured.until(|read| total(&counts(read)) == 1).await?;
    scene.plan("one backend refuses, then both");
    refuse(scene, &measured.backends[0])?;
    let retry = Ids { not_counted: "failure-not-counted", twice: "retry-counted-twice" };
    let alive = measured.backends[1].address().to_string();
    // With two requests, one of them is tried twice.
    for _ in 0..3 {
        let before = counted(&measured).await?;
        let request = measured.request("GET");
        let (exchange, answer) = measured.send(request.clone()).await?;
        exchange.through(scene, &measured.running).await?;
        let after = one_more(&measured, &before, &request, answer.status, &retry).await?;
        let of = (alive.clone(), class(answer.status));
        if after.get(&of) != Some(&(before.get(&of).copied().unwrap_or_default() + 1)) {
            return Err(measured
                .found("retry-at-the-wrong-backend")
                .compared(&alive, in_words(&difference(&before, &after)))
                .with("backend", alive.as_str())
                .fail());
        }
    }

    refuse(scene, &measured.backends[1])?;
    for method in ["GET", "POST"] {
        answered(&measured, measured.request(method), &FAILURE).await?;
    }
    measured.backends.iter().try_for_each(|backend| listen(scene, backend))?;
    measured.do_always(&Act::ResetBeforeAnswer);
    answered(&measured, measured.request("POST"), &FAILURE).await?;

    // The first is let through, the others are not.
    measured.answer_with(&crate::backends::recording::Reply::ok("well"));
    let own = Ids { not_counted: "own-answer-not-counted", twice: "failure-counted-twice" };
    for _ in 0..2 {
        let target = format!("{}/{}", measured.limited, scene.draw.word());
        answered(&measured, measured.running.request("GET", target), &own).await?;
    }
    client_leaves(&measured).await
}

async fn counted(measured: &Measured<'_>) -> Result<Counts, Finding> {
    measured.scrape().await.map(|read| counts(&read))
}

/// Sends it, and it is counted once with the class that the client saw.
async fn answered(measured: &Measured<'_>, request: Request, ids: &Ids) -> Outcome {
    let before = counted(measured).await?;
    let (_, answer) = measured.send(request.clone()).await?;
    one_more(measured, &before, &request, answer.status, ids).await.map(drop)
}

/// One more is counted, of this class.
async fn one_more(
    measured: &Measured<'_>,
    before: &Counts,
    request: &Request,
    status: u16,
    ids: &Ids,
) -> Result<Counts, Finding> {
    let class = class(status);
    let of_class = |counts: &Counts| -> u64 {
        counts.iter().filter(|((_, of), _)| *of == class).map(|(_, count)| count).sum()
    };
    let after = once(measured, before, request, ids).await?;
    if of_class(&after) == of_class(before) + 1 {
        return Ok(after);
    }
    let found = measured.found(ids.not_counted);
    let more = in_words(&difference(before, &after));
    let found = found.compared(format!("{class}: 1"), more).with("status", status);
    Err(found.with("request", crate::judge::exchange::line(request)).fail())
}

/// One more is counted in all, and then no other.
async fn once(
    measured: &Measured<'_>,
    before: &Counts,
    request: &Request,
    ids: &Ids,
) -> Result<Counts, Finding> {
    let wanted = total(before) + 1;
    measured.until(|read| total(&counts(read)) >= wanted).await?;
    tokio::time::sleep(SECOND).await;
    let after = counted(measured).await?;
    let id = match total(&after) {
        got if got == wanted => return Ok(after),
        got if got < wanted => ids.not_counted,
        _ => ids.twice,
    };
    let more = total(&after).saturating_sub(total(before));
    let found = measured.found(id).compared(1, in_words(&difference(before, &after)));
    let found = found.with("times", more).with("status", "-");
    Err(found.with("request", crate::judge::exchange::line(request)).fail())
}

/// A client that waits for its answer and then does not.
async fn client_leaves(measured: &Measured<'_>) -> Outcome {
    let (scene, request) = (measured.scene, measured.request("GET"));
    measured.do_always(&Act::Hang);
    let before = counted(measured).await?;
    let mut connection = match measured.running.client().connect().await {
        Ok(connection) => connection,
        Err(trouble) => return Err(measured.running.trouble(&trouble, &request).await),
    };
    // If it fails, the request does not arrive.
    let _ = connection.write(&request.to_bytes()).await;
    let arrived = |log: &Log| log.requests().any(|one| one.target == request.target).then_some(());
    scene.recorder.wait_for(Instant::now() + ARRIVES, arrived).await;
    connection.abort();
    let ids = Ids { not_counted: "abort-not-counted", twice: "failure-counted-twice" };
    once(measured, &before, &request, &ids).await.map(drop)
}

/// By how much it is more.
fn difference(before: &Counts, after: &Counts) -> Counts {
    let more = |(of, count): (&(String, String), &u64)| {
        let was = before.get(of).copied().unwrap_or_default();
        (*count > was).then(|| (of.clone(), count - was))
    };
    after.iter().filter_map(more).collect()
}
