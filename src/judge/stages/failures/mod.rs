//! 06 failures: a backend that refuses costs a try and not a request; what may
//! have reached a backend is not sent again; an error says why.

mod all_down;
mod backend_errors;
mod client_abort;
mod post_once;
mod refusing;

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::stale;
use super::starts::STARTS;
use crate::backends::recording::{Entry, Log, RecordingBackend};
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "06-failures",
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "one-refuses",
            diagnoses: &[
                "refused-not-retried",
                "refused-post-not-retried",
                "gives-up-too-soon",
                "upstream-never-tried",
                "retries-without-end",
            ],
            run: |scene| refusing::one_refuses(scene).boxed(),
        },
        Check {
            id: "post-once",
            diagnoses: &["post-replayed", "lost-post-status"],
            run: |scene| post_once::post_once(scene).boxed(),
        },
        Check {
            id: "tried-once",
            diagnoses: &["retries-too-few", "same-backend-again"],
            run: |scene| refusing::tried_once(scene).boxed(),
        },
        Check {
            id: "stale-get",
            diagnoses: &[stale::NOT_RETRIED, stale::BLAMES_BACKEND],
            run: |scene| stale_get(scene).boxed(),
        },
        Check {
            id: "all-down",
            diagnoses: &[
                "retries-run-out",
                "all-down-not-503",
                "all-down-slow",
                "retries-without-end",
                "no-reason",
                "reason-shows-address",
                "stays-down",
            ],
            run: |scene| all_down::all_down(scene).boxed(),
        },
        Check {
            id: "client-abort",
            diagnoses: &["abort-harms-others", "abort-marks-backend-down", "aborted-sent-again"],
            run: |scene| client_abort::client_abort(scene).boxed(),
        },
        Check {
            id: "backend-errors-pass",
            diagnoses: &["backend-error-retried", "backend-error-replaced"],
            run: |scene| backend_errors::backend_errors_pass(scene).boxed(),
        },
    ],
};

/// How long the program may take to look at every backend for the first time.
/// Nothing is judged by it: a program without health checks does not look at all.
const FIRST_LOOK: Duration = Duration::from_millis(300);

async fn stale_get(scene: &Scene) -> Outcome {
    let backends = scene.backends(1)?;
    let running = start_unaware(scene, &backends).await?;
    let target = || format!("{}?{}", scene.draw.path(), scene.draw.word());
    stale::gets_are_saved(scene, &running, &backends[0], &target).await
}

/// Starts the program with health checks that come so seldom that nothing but a
/// retry can save a request, and lets it find every backend well.
async fn start_unaware<'a>(
    scene: &'a Scene,
    backends: &[RecordingBackend],
) -> Result<Running<'a>, Finding> {
    let interval = Duration::from_millis(scene.draw.number(30_000..90_000));
    start(scene, backends, interval).await
}

/// Starts the program with this interval of its health checks, and waits until it
/// has looked at every backend, if it does.
async fn start<'a>(
    scene: &'a Scene,
    backends: &[RecordingBackend],
    interval: Duration,
) -> Result<Running<'a>, Finding> {
    let (name, interval) = (scene.draw.word(), interval.as_millis().to_string());
    scene.plan(format!("health checks every {interval} ms, the proxy's name is {name}"));
    let settings = [("LAB_HEALTH_INTERVAL_MS", &*interval), ("LAB_PROXY_NAME", &*name)];
    let before = scene.recorder.read(|log| log.entries().len());
    let running = scene.start_with(backends, &settings).await?;
    let looked_at = |log: &Log| {
        let since = || log.entries().iter().skip(before);
        let all = backends.iter().all(|backend| {
            let connected = |entry: &Entry| matches!(entry, Entry::Connected(one) if &*one.backend == backend.name());
            since().any(connected)
        });
        all.then_some(())
    };
    scene.recorder.wait_for(Instant::now() + FIRST_LOOK, looked_at).await;
    Ok(running)
}

/// Commands for a backend that dies under a program whose health checks do not
/// see it: three terminals, and the client in a fourth.
fn dying_backend(client: &str) -> Vec<String> {
    [
        "pingora-lab backends",
        "timeout 20 pingora-lab backends --ports 6193,0,0",
        "LAB_BACKENDS=127.0.0.1:6190,127.0.0.1:6193 LAB_HEALTH_INTERVAL_MS=60000 pingora-lab run 06-failures",
        client,
    ]
    .map(str::to_owned)
    .to_vec()
}
