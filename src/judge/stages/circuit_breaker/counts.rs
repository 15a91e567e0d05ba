//! What counts as a failure, and what begins the count anew.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::setup::{BACKENDS, LONG, Setup};
use crate::backends::recording::{Act, Reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Statuses that are no failures: they say something of the request and not of the backend, or
/// are none of the file's list.
const NO_FAILURES: [u16; 7] = [400, 401, 403, 404, 422, 429, 502];

/// A backend that finds fault with every request is well, in whatever words.
pub async fn client_errors(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    let mut statuses = NO_FAILURES;
    scene.draw.shuffle(&mut statuses);
    // Each by itself: of several, one that does not count would begin the count anew.
    for status in statuses {
        scene.plan(format!("{} answers {status}", setup.bad(0).name()));
        setup.bad(0).always(Act::Answer(Reply::new(status)));
        let facts = [("status", status.into())];
        stays_in_use(&setup, setup.failures + 1, "counts-client-errors", &facts).await?;
    }
    Ok(())
}

/// One failure less than open it, a success, and again.
pub async fn success_resets(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    let (status, failures, asked) = (setup.status(), setup.failures, AtomicUsize::new(0));
    scene.plan(format!("{} fails {} times of {failures}", setup.bad(0).name(), failures - 1));
    setup.bad(0).set_to(move |_| match asked.fetch_add(1, Relaxed) % failures {
        last if last + 1 == failures => Act::Answer(Reply::ok("well")),
        _ => Act::Answer(Reply::new(status)),
    });
    stays_in_use(&setup, 2 * failures + 1, "success-does-not-reset", &[]).await
}

/// It gets each of so many turns; else a diagnosis with this id and these facts.
async fn stays_in_use(
    setup: &Setup<'_>,
    turns: usize,
    id: &'static str,
    facts: &[(&str, serde_json::Value)],
) -> Outcome {
    let before = setup.received(0);
    for _ in 0..BACKENDS * turns {
        let sent = setup.send(0).await;
        setup.is_served(0, &sent).await?;
    }
    let got = setup.received(0) - before;
    if got == turns {
        return Ok(());
    }
    let found = setup.found(id, 0).compared(turns, got).with("got", got).with("turns", turns);
    let status = facts.first().map_or_else(|| "404".to_owned(), |(_, status)| status.to_string());
    let asked = format!("/status/{status}");
    let commands = found.repeat.iter().map(|one| one.replace("/status/404", &asked)).collect();
    let found = found.repeat(commands);
    Err(facts.iter().fold(found, |found, (name, value)| found.with(name, value.clone())).fail())
}
