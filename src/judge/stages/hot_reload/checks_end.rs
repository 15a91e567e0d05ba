//! Who is in the file is looked at as often as it says, however often it has changed; who has
//! left it is not looked at any more.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::live::{Live, Part, SEEN, by_hand};
use crate::backends::recording::{Entry, RecordingBackend};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often backends are to be looked at.
const EVERY: Duration = Duration::from_millis(60);

/// How often the file changes.
const CHANGES: usize = 4;

/// For how many intervals it is looked who comes.
const INTERVALS: u32 = 4;

/// One backend stays, beside another each time; nobody sends them a request, so whoever comes
/// looks at their health.
pub async fn checks_end(scene: &Scene) -> Outcome {
    let [sign, pool] = [(); 2].map(|()| Part::drawn(scene));
    let signs = scene.backends_named(&sign.pool, CHANGES + 1)?;
    let stays = scene.backends_named("stays", 1)?;
    let others = scene.backends_named(&pool.pool, CHANGES + 1)?;
    let file = |listen: SocketAddr, nth: usize| {
        let file = sign.add(ConfigFile::new().listener(listen), &[&signs[nth]]);
        let pair = [stays[0].address(), others[nth].address()];
        file.pool(&pool.pool, Some(EVERY), pair).route(&[], Some(&pool.prefix), &pool.pool)
    };
    let live = Live::start(scene, &|listen| file(listen, 0)).await?;
    live.served(&sign.prefix).await?;
    for (nth, new) in signs.iter().enumerate().skip(1) {
        scene.plan(format!("{} has another backend", pool.pool));
        live.replace(&file(live.listen(), nth))?;
        live.takes(&sign.prefix, new, "change-not-seen").await?;
    }
    // A look that is under way is one of before.
    tokio::time::sleep(EVERY).await;
    let since = scene.recorder.read(|log| log.entries().len());
    let begun = Instant::now();
    tokio::time::sleep(EVERY * INTERVALS).await;
    let took = begun.elapsed();
    let looks = |backend: &RecordingBackend| looks(scene, backend, since);
    let found = |id, backend: &RecordingBackend, expected: String, count: usize| -> Finding {
        Diagnosis::new(id)
            .compared(expected, format!("{count} in {} ms", took.as_millis()))
            .with("backend", backend.name())
            .with("looks", count)
            .with("interval_ms", u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX))
            .with("took_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
            .with("changes", CHANGES)
            .repeat(by_hand(id))
            .timed()
            .fail()
    };
    // Twice as often would be one more set of checks. There may be one look at each end.
    let intervals = usize::try_from(took.as_millis() / EVERY.as_millis()).unwrap_or(usize::MAX);
    let (count, most) = (looks(&stays[0]), 2 * intervals + 2);
    if count > most {
        return Err(found("old-checks-run-on", &stays[0], format!("about {intervals}"), count));
    }
    let gone = others[..CHANGES].iter().chain(&signs[..CHANGES]);
    if let Some(backend) = gone.into_iter().find(|backend| looks(backend) > 0) {
        let count = looks(backend);
        return Err(found("removed-still-checked", backend, "none".to_owned(), count));
    }
    if looks(&others[CHANGES]) == 0 {
        // It may have been put off by a busy machine.
        let (backend, deadline) = (&others[CHANGES], Instant::now() + SEEN);
        let name = backend.name().to_owned();
        let come = scene.recorder.wait_for(deadline, |log| {
            let new = log.entries().iter().skip(since);
            new.into_iter().find(|entry| is_look(entry, &name)).map(|_| ())
        });
        if come.await.is_none() {
            let expected = format!("a look every {} ms", EVERY.as_millis());
            return Err(found("new-not-checked", backend, expected, 0));
        }
    }
    Ok(())
}

fn looks(scene: &Scene, backend: &RecordingBackend, since: usize) -> usize {
    scene.recorder.read(|log| {
        let new = log.entries().iter().skip(since);
        new.filter(|entry| is_look(entry, backend.name())).count()
    })
}

/// A connection to this backend, or a further request over one: a check over HTTP may keep it.
fn is_look(entry: &Entry, name: &str) -> bool {
    match entry {
        Entry::Connected(one) => &*one.backend == name,
        Entry::Received(one) => &*one.backend == name && one.nth_on_connection > 1,
        _ => false,
    }
}
