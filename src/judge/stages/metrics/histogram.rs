//! The histogram has every request in it, in buckets that hold what they say, and in
//! seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future;

use super::DURATION;
use super::exposition::{Exposition, Family};
use super::measured::Measured;
use crate::backends::recording::{Act, Reply};
use crate::judge::client::Answer;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests are answered right away, and how many slowly and at once.
const QUICK: u64 = 7;
const SLOW: usize = 4;

/// A slow answer comes in pieces of so many bytes, and with pauses: its head is in the first.
const PIECE: usize = 400;
const EVERY: Duration = Duration::from_millis(90);
const PAUSES: u32 = 4;

/// By how much the program's watch may go on behind the client's, for each request.
const LATER: f64 = 0.1;

/// Whoever shows so many times too much counts in another unit.
const UNIT: f64 = 50.0;

/// Requests whose bodies take their time, and some that take none: whoever measures these
/// from an earlier beginning than theirs is seen by then.
pub async fn histogram_sums(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    let mut took = Duration::ZERO;
    let body = scene.draw.bytes(PIECE * PAUSES as usize);
    scene.plan(format!("{SLOW} answers of {} bytes", body.len()));
    let reply = Reply::ok(body);
    measured.do_always(&Act::Drip { reply, chunk: PIECE, every: EVERY });
    for answer in slow_ones(&measured).await? {
        took += answer.took;
    }
    measured.answer_with(&Reply::ok("well"));
    for _ in 0..QUICK {
        took += measured.send(measured.request("GET")).await?.1.took;
    }

    let all = QUICK + SLOW as u64;
    let read = measured.until(|read| count(read) == all).await?;
    let Some(family) = read.family(DURATION) else {
        return Err(measured.found("metric-missing").with("metric", DURATION).timed().fail());
    };
    buckets(&measured, family)?;
    let got = count(&read);
    if got != all {
        return Err(measured
            .found("histogram-misses-requests")
            .compared(all, got)
            .with("sent", all)
            .with("counted", got)
            .timed()
            .fail());
    }
    sums(&measured, family, took)
}

async fn slow_ones(measured: &Measured<'_>) -> Result<Vec<Answer>, Finding> {
    let requests: Vec<_> = (0..SLOW).map(|_| measured.request("GET")).collect();
    let client = measured.running.client();
    let answers = future::join_all(requests.iter().map(|request| client.send(request))).await;
    let mut all = Vec::new();
    for (request, answer) in requests.iter().zip(answers) {
        match answer {
            Ok(answer) => all.push(answer),
            Err(trouble) => return Err(measured.running.trouble(&trouble, request).await),
        }
    }
    Ok(all)
}

fn of(family: &Family, part: &str) -> f64 {
    family.part(part).map(|sample| sample.value).sum()
}

fn count(read: &Exposition) -> u64 {
    read.family(DURATION).map_or(0, |family| of(family, "_count").max(0.0).round() as u64)
}

/// For each series: the buckets hold more and more, and the last one, `+Inf`, all.
fn buckets(measured: &Measured<'_>, family: &Family) -> Outcome {
    let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family.part("_bucket") {
        let mut labels = sample.labels.clone();
        let le = labels.remove("le").unwrap_or_default();
        let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap_or(f64::NAN) };
        series.entry(labels).or_default().push((le, sample.value));
    }
    let wrong = |shown: &str| Err(measured.found("buckets-wrong").with("series", shown).fail());
    for sample in family.part("_count") {
        let shown = format!("{DURATION}{:?}", sample.labels);
        let Some(buckets) = series.get(&sample.labels) else { return wrong(&shown) };
        let rising = buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        let whole = buckets.last().is_some_and(|(le, value)| {
            le.is_infinite() && (value - sample.value).abs() < f64::EPSILON
        });
        // With no bound below what is slow the quick and the slow are one.
        let apart = buckets.iter().any(|(le, _)| *le < (EVERY * PAUSES).as_secs_f64());
        if !rising || !whole || !apart {
            let all: Vec<_> = buckets.iter().map(|(le, value)| format!("{le}: {value}")).collect();
            return wrong(&format!("{} (count {})", all.join(", "), sample.value));
        }
    }
    Ok(())
}

/// As long as the slow ones have taken, and not much longer than all clients have waited.
fn sums(measured: &Measured<'_>, family: &Family, took: Duration) -> Outcome {
    let (sum, most) = (of(family, "_sum"), took.as_secs_f64());
    let least = (EVERY * PAUSES).as_secs_f64() * SLOW as f64;
    let found = |id, expected: String| {
        let found = measured.found(id).compared(expected, format!("{sum:.3}"));
        found.with("sum", format!("{sum:.3}")).with("least", format!("{least:.2}"))
    };
    if sum < least * 0.95 {
        let expected = format!("at least {least:.2}");
        // What is missing is about as long as the bodies; whole seconds have lost all the rest.
        let headers = sum <= most - least / 2.0 && sum.fract() > 0.0;
        let id = if headers { "duration-without-body" } else { "duration-too-short" };
        return Err(found(id, expected).with("most", format!("{most:.2}")).fail());
    }
    let all = QUICK as f64 + SLOW as f64;
    let allowed = most + LATER * all;
    if sum <= allowed {
        return Ok(());
    }
    let expected = format!("at most {allowed:.2}");
    let id = if sum > most * UNIT { "duration-in-another-unit" } else { "duration-too-long" };
    Err(found(id, expected).with("most", format!("{most:.2}")).timed().fail())
}
