//! New backends are used within a second after the file was written, and it does not need a
//! request for that.

use std::time::{Duration, Instant};

use super::live::{ENDS, Live, Part, SEEN, by_hand};
use crate::backends::recording::{Log, RecordingBackend};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The file is written over twice, as `echo >` and some editors do it.
pub async fn applies(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, 3)?;
    let live = Live::start(scene, &|listen| part.alone(listen, &[&backends[0]])).await?;
    live.served(&part.prefix).await?;
    let asked = Instant::now();
    live.served(&part.prefix).await?;
    let request = asked.elapsed();
    scene.plan(format!("{} has another backend", part.pool));
    live.write(&part.alone(live.listen(), &[&backends[1]]))?;
    // Nobody asks for anything meanwhile, so whoever comes looks at its health.
    if !is_looked_at(scene, &backends[1], request).await {
        return Err(unasked(&live, &part.prefix, &backends[1], "change-not-seen").await);
    }
    scene.plan(format!("{} has a third", part.pool));
    live.write(&part.alone(live.listen(), &[&backends[2]]))?;
    // Not even the last request before the first change can have made it look now.
    if !is_looked_at(scene, &backends[2], request).await {
        return Err(unasked(&live, &part.prefix, &backends[2], "later-change-not-seen").await);
    }
    live.takes(&part.prefix, &backends[2], "later-change-not-seen").await
}

async fn is_looked_at(scene: &Scene, backend: &RecordingBackend, request: Duration) -> bool {
    let looked = |log: &Log| log.connections_to(backend.name()).next().map(|_| ());
    let since = Instant::now();
    while scene.recorder.wait_for(Instant::now() + SEEN, looked).await.is_none() {
        if Live::is_late(since, request) {
            return false;
        }
    }
    true
}

/// Nothing has come to the new backend: either nothing was seen, or it is a request that makes
/// the program look.
async fn unasked(
    live: &Live<'_>,
    prefix: &str,
    backend: &RecordingBackend,
    id: &'static str,
) -> Finding {
    if let Err(ended) = live.lives(ENDS).await {
        return ended;
    }
    match live.takes(prefix, backend, id).await {
        Ok(()) => {
            let found = Diagnosis::new("looks-only-when-asked").with("backend", backend.name());
            let seconds = format!("{:.1}", SEEN.as_secs_f64());
            let seen = format!("nothing for {seconds} s, until a request came");
            found
                .compared("a health check of the new backend", seen)
                .with("seconds", seconds)
                .repeat(by_hand("looks-only-when-asked"))
                .timed()
                .fail()
        }
        Err(finding) => finding,
    }
}
