//! By backend and class, as many as there were.

use std::collections::BTreeMap;

use super::REQUESTS;
use super::exposition::Exposition;
use super::measured::{Counts, Measured, class, counts, in_words, total};
use crate::backends::recording::Reply;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, at_once};

/// What backends answer.
const STATUSES: [u16; 7] = [200, 201, 204, 302, 404, 410, 500];

/// How many requests come one after the other, and how many at once behind them.
const IN_A_ROW: usize = 30;
const AT_ONCE: usize = 24;

/// How often it is looked at meanwhile: looks are no requests.
const LOOKS: usize = 4;

/// Requests that a backend has answered, some of them at once.
pub async fn counts_match(scene: &Scene) -> Outcome {
    let count = usize::try_from(scene.draw.number(2..5)).unwrap_or(2);
    let measured = Measured::start(scene, count).await?;
    let mut sent = Counts::new();
    for number in 0..IN_A_ROW {
        let (method, status) = (*scene.draw.pick(&["GET", "POST"]), *scene.draw.pick(&STATUSES));
        scene.plan(format!("{method}, answered {status}"));
        measured.answer_with(&Reply::new(status));
        let (exchange, answer) = measured.send(measured.request(method)).await?;
        exchange.through(scene, &measured.running).await?;
        *sent.entry((measured.backend_of(&exchange), class(answer.status))).or_default() += 1;
        if number < LOOKS {
            measured.scrape().await?;
        }
    }
    as_sent(&measured, &sent).await?;

    measured.answer_with(&Reply::ok("well"));
    let requests = (0..AT_ONCE).map(|_| Own::of(measured.request("GET"))).collect();
    for tried in at_once(scene, &measured.running, requests).await {
        let exchange = &tried.exchange;
        let (_, answer) = exchange.through(scene, &measured.running).await?;
        *sent.entry((measured.backend_of(exchange), class(answer.status))).or_default() += 1;
    }
    as_sent(&measured, &sent).await
}

/// What is counted is what was sent.
async fn as_sent(measured: &Measured<'_>, sent: &Counts) -> Outcome {
    let first = measured.scrape().await?;
    let read = measured.until(|read| counts(read) == *sent).await?;
    never_less(measured, &first, &read)?;
    let counted = counts(&read);
    if counted == *sent {
        return Ok(());
    }
    let (all, got) = (total(sent), total(&counted));
    let found = |id| {
        let found = measured.found(id).compared(in_words(sent), in_words(&counted));
        let found = found.with("sent", all).with("counted", got);
        // More may come, less does not.
        if got < all { found.timed() } else { found }
    };
    if got == 0 {
        return Err(found("nothing-counted").fail());
    }
    for label in ["backend", "status"] {
        let mut samples = read.family(REQUESTS).into_iter().flat_map(|family| &family.samples);
        if samples.all(|sample| sample.label(label).is_empty()) {
            return Err(found("label-missing").with("label", label).fail());
        }
    }
    if got > all && scrapes_count(measured).await? {
        return Err(found("scrapes-counted").fail());
    }
    if got == all * 2 {
        return Err(found("counted-twice").fail());
    }
    let id = match (by(sent, true) == by(&counted, true), by(sent, false) == by(&counted, false)) {
        (true, false) => "status-wrong",
        (false, true) => "backend-wrong",
        _ => "counts-wrong",
    };
    Err(found(id).fail())
}

/// Whether it is more with each look, long after the last request.
async fn scrapes_count(measured: &Measured<'_>) -> Result<bool, Finding> {
    let before = total(&counts(&measured.scrape().await?));
    for _ in 0..LOOKS {
        measured.scrape().await?;
    }
    Ok(total(&counts(&measured.scrape().await?)) > before)
}

/// Only by backend, or only by class.
fn by(counts: &Counts, backend: bool) -> BTreeMap<&str, u64> {
    let mut sums = BTreeMap::new();
    for ((of, status), count) in counts {
        *sums.entry(if backend { of.as_str() } else { status.as_str() }).or_default() += count;
    }
    sums
}

/// A counter never goes down, and none of its series goes away.
fn never_less(measured: &Measured<'_>, first: &Exposition, second: &Exposition) -> Outcome {
    let (before, after) = (counts(first), counts(second));
    let less = before.iter().find(|(of, count)| after.get(of).is_none_or(|now| now < count));
    let Some((of, count)) = less else { return Ok(()) };
    let now = after.get(of).copied().unwrap_or_default();
    let found = measured.found("count-goes-down").compared(format!("at least {count}"), now);
    Err(found.with("backend", of.0.as_str()).with("status", of.1.as_str()).fail())
}
