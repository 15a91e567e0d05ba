//! What clients send becomes no label: else anybody decides how many series there are.

use futures_util::{StreamExt, stream};

use super::exposition::{Exposition, Sample};
use super::measured::{Measured, counts, total};
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests come, each with a path, a host and a method of its own.
const MANY: usize = 160;

/// How many are under way at a time.
const AT_ONCE: usize = 8;

/// By how many series it may grow meanwhile: a word for all the methods that it does not
/// know, and what a histogram has of a label more.
const MORE: usize = 40;

/// What stands in all that the clients choose.
struct Words {
    path: String,
    host: String,
    method: String,
}

/// Requests that have nothing in common, and how many series there are of them.
pub async fn bounded_labels(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    for _ in 0..4 {
        measured.send(measured.request("GET")).await?;
    }
    let before = measured.until(|read| total(&counts(read)) == 4).await?;

    let draw = &scene.draw;
    let letters =
        |word: String| -> String { word.chars().filter(char::is_ascii_alphabetic).collect() };
    let words = Words {
        path: format!("p{}", draw.word()),
        host: format!("h{}", draw.word()),
        method: format!("M{}", letters(draw.word()).to_uppercase()),
    };
    scene.plan(format!(
        "{MANY} requests {}1 /{}/1 for {}1.test",
        words.method, words.path, words.host
    ));
    let requests: Vec<_> = (0..MANY).map(|number| request(&measured, &words, number)).collect();
    let client = measured.running.client();
    let sent: Vec<_> = requests.iter().map(|request| client.send(request)).collect();
    let answers: Vec<_> = stream::iter(sent).buffered(AT_ONCE).collect().await;
    for (request, answer) in requests.iter().zip(answers) {
        if let Err(trouble) = answer {
            return Err(measured.running.trouble(&trouble, request).await);
        }
    }
    let all = 4 + MANY as u64;
    let after = measured.until(|read| total(&counts(read)) >= all).await?;
    named(&measured, &after, &words)?;
    let (was, is) = (before.series(), after.series());
    if is <= was + MORE {
        return Ok(());
    }
    let found = measured.found("labels-grow").compared(format!("at most {}", was + MORE), is);
    let found = found.with("before", was).with("after", is).with("requests", MANY);
    Err(found.with("series_newest", newest(&before, &after)).fail())
}

/// Paths, queries and hosts; every fourth with a method that there is not.
fn request(measured: &Measured<'_>, words: &Words, number: usize) -> Request {
    let method = if number.is_multiple_of(4) {
        let letter = char::from(b'A' + u8::try_from(number / 4 % 26).unwrap_or_default());
        format!("{}{letter}", words.method)
    } else {
        "GET".to_owned()
    };
    let target = format!("/{}/{number}?{}={number}", words.path, words.path);
    let request = measured.running.request(&method, target);
    request.for_host(Some(&format!("{}{number}.test", words.host)))
}

/// A word of theirs in a label.
fn named(measured: &Measured<'_>, read: &Exposition, words: &Words) -> Result<(), Finding> {
    for (word, id) in [
        (&words.path, "path-in-labels"),
        (&words.host, "host-in-labels"),
        (&words.method, "method-in-labels"),
    ] {
        let has = |sample: &&Sample| {
            sample.labels.values().any(|value| value.to_lowercase().contains(&word.to_lowercase()))
        };
        if let Some(sample) = read.samples().find(has) {
            let found = measured.found(id).with("series", shown(sample));
            return Err(found.with("count", read.samples().filter(has).count()).fail());
        }
    }
    Ok(())
}

/// One that was not there before.
fn newest(before: &Exposition, after: &Exposition) -> String {
    let old = |sample: &Sample| {
        before.samples().any(|one| one.name == sample.name && one.labels == sample.labels)
    };
    after.samples().filter(|sample| !old(sample)).last().map_or_else(String::new, shown)
}

fn shown(sample: &Sample) -> String {
    let labels: Vec<_> =
        sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", sample.name, labels.join(","))
}
