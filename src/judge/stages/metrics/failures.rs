//! What fails is counted too, and once: at the backend that it went to last, or at none.

use std::time::{Duration, Instant};

use super::measured::{Counts, Measured, class, counts, in_words, total};
use crate::backends::recording::{Act, Log, Reply};
use crate::judge::client::{Request, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::{Exchange, line};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{listen, refuse};

/// How long a request of a client that leaves may take to reach a backend.
const ARRIVES: Duration = Duration::from_secs(2);

/// Of how many requests a limit of one refuses one.
const REFUSED_BY: usize = 4;

/// How long a second count may come behind the first.
const SECOND: Duration = Duration::from_millis(60);

/// What a step leads to, where it is counted otherwise than once.
struct Ids {
    not_counted: &'static str,
    twice: &'static str,
}

const RETRY: Ids = Ids { not_counted: "failure-not-counted", twice: "retry-counted-twice" };
const FAILURE: Ids = Ids { not_counted: "failure-not-counted", twice: "failure-counted-twice" };
const OWN: Ids = Ids { not_counted: "own-answer-not-counted", ..FAILURE };
const ABORT: Ids = Ids { not_counted: "abort-not-counted", ..FAILURE };

/// What is counted, followed from request to request.
struct Followed<'a> {
    measured: &'a Measured<'a>,
    counted: Counts,
}

/// Tried twice, refused by all, broken off, refused by the program itself, left.
pub async fn failures_counted(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    let mut followed = Followed { measured: &measured, counted: Counts::new() };
    followed.answered(measured.request("GET"), &FAILURE).await?;
    scene.plan("one backend refuses, then both");
    refuse(scene, &measured.backends[0])?;
    retried(scene, &mut followed).await?;

    refuse(scene, &measured.backends[1])?;
    for method in ["GET", "POST"] {
        followed.answered(measured.request(method), &FAILURE).await?;
    }
    measured.backends.iter().try_for_each(|backend| listen(scene, backend))?;
    measured.do_always(&Act::ResetBeforeAnswer);
    followed.answered(measured.request("POST"), &FAILURE).await?;

    measured.answer_with(&Reply::ok("well"));
    // The second is refused; more only where a second has passed between the two.
    for number in 0..REFUSED_BY {
        let request = measured.running.request("GET", format!("{}/{number}", measured.limited));
        let (exchange, _) = followed.answered(request, &OWN).await?;
        if exchange.received.is_empty() {
            break;
        }
    }
    client_leaves(scene, &mut followed).await
}

/// Requests while the first backend refuses: of two of them one is tried twice, where
/// backends have their turns.
async fn retried(scene: &Scene, followed: &mut Followed<'_>) -> Outcome {
    let measured = followed.measured;
    let alive = measured.backends[1].address().to_string();
    let mut last = None;
    for _ in 0..3 {
        let (exchange, more) = followed.answered(measured.request("GET"), &RETRY).await?;
        let (_, answer) = exchange.through(scene, &measured.running).await?;
        if !more.contains_key(&(alive.clone(), class(answer.status))) {
            let found = measured.found("retry-at-the-wrong-backend");
            let found = found.compared(&alive, in_words(&more));
            return Err(found.with("backend", alive.as_str()).fail());
        }
        last = Some(exchange.request);
    }
    match last {
        Some(request) => followed.no_other(&request, &RETRY).await,
        None => Ok(()),
    }
}

/// A client that waits for its answer and then does not.
async fn client_leaves(scene: &Scene, followed: &mut Followed<'_>) -> Outcome {
    let measured = followed.measured;
    let request = measured.request("GET");
    measured.do_always(&Act::Hang);
    let mut connection = match measured.running.client().connect().await {
        Ok(connection) => connection,
        Err(trouble) => return Err(measured.running.trouble(&trouble, &request).await),
    };
    // If it fails, the request does not arrive.
    let _ = connection.write(&request.to_bytes()).await;
    let arrived = |log: &Log| log.requests().any(|one| one.target == request.target).then_some(());
    if scene.recorder.wait_for(Instant::now() + ARRIVES, arrived).await.is_none() {
        let trouble = Trouble::NoAnswer { after: ARRIVES };
        return Err(measured.running.trouble(&trouble, &request).await);
    }
    connection.abort();
    followed.one_more(&request, None, &ABORT).await?;
    followed.no_other(&request, &ABORT).await
}

// === impl Followed ===

impl Followed<'_> {
    /// Sends it, and it is counted once, with the class that the client saw: where.
    async fn answered(
        &mut self,
        request: Request,
        ids: &Ids,
    ) -> Result<(Exchange, Counts), Finding> {
        let (exchange, answer) = self.measured.send(request).await?;
        let more = self.one_more(&exchange.request, Some(answer.status), ids).await?;
        Ok((exchange, more))
    }

    /// One more is counted, of the class of the status if there was one.
    async fn one_more(
        &mut self,
        request: &Request,
        status: Option<u16>,
        ids: &Ids,
    ) -> Result<Counts, Finding> {
        let class = status.map(class);
        let of_class = |counts: &Counts| -> u64 {
            let fits = |of: &String| class.as_ref().is_none_or(|class| class == of);
            counts.iter().filter(|((_, of), _)| fits(of)).map(|(_, count)| count).sum()
        };
        let (all, of_it) = (total(&self.counted) + 1, of_class(&self.counted) + 1);
        // One of another class may be a part of two.
        let decided = |counts: &Counts| of_class(counts) >= of_it || total(counts) > all;
        let now = counts(&self.measured.until(|read| decided(&counts(read))).await?);
        let more = difference(&self.counted, &now);
        if total(&now) > all {
            return Err(self.found(ids.twice, request, &more).fail());
        }
        if of_class(&now) != of_it {
            let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            let found = self.found(ids.not_counted, request, &more).with("status", status);
            return Err(found.timed().fail());
        }
        self.counted = now;
        Ok(more)
    }

    /// Nothing is counted behind the last request.
    async fn no_other(&self, request: &Request, ids: &Ids) -> Outcome {
        tokio::time::sleep(SECOND).await;
        let now = counts(&self.measured.scrape().await?);
        let more = difference(&self.counted, &now);
        if more.is_empty() {
            return Ok(());
        }
        Err(self.found(ids.twice, request, &more).with("times", total(&more) + 1).fail())
    }

    fn found(&self, id: &'static str, request: &Request, more: &Counts) -> Diagnosis {
        let found = self.measured.found(id).compared(1, in_words(more));
        found.with("times", total(more)).with("request", line(request))
    }
}

/// By how much it is more.
fn difference(before: &Counts, after: &Counts) -> Counts {
    let more = |(of, count): (&(String, String), &u64)| {
        let was = before.get(of).copied().unwrap_or_default();
        (*count > was).then(|| (of.clone(), count - was))
    };
    after.iter().filter_map(more).collect()
}
