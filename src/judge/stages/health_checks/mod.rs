//! 03 health-checks: backends are looked at again and again; one that is down
//! gets nothing until it is back.

mod all_down;
mod dead;
mod repeat;

use std::time::Duration;

use futures_util::FutureExt;

use super::starts::STARTS;
use crate::backends::recording::RecordingBackend;
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "checks-repeat",
            diagnoses: &[
                "health-check-never-runs",
                "health-check-runs-once",
                "health-check-misses-backend",
                "tls-health-check",
                "interval-ignored",
                "checks-too-often",
            ],
            run: |scene| repeat::checks_repeat(scene).boxed(),
        },
        Check {
            id: "dead-gets-nothing",
            diagnoses: &["dead-still-chosen", "gives-up-at-unhealthy", "survivor-left-out"],
            run: |scene| dead::dead_gets_nothing(scene).boxed(),
        },
        Check {
            id: "comes-back",
            diagnoses: &["never-comes-back"],
            run: |scene| dead::comes_back(scene).boxed(),
        },
        Check {
            id: "all-down",
            diagnoses: &["all-down-still-tried", "all-down-not-503", "all-down-slow"],
            run: |scene| all_down::all_down(scene).boxed(),
        },
    ],
};

const ID: &str = "03-health-checks";

/// The pause between two requests that wait for a change.
const PAUSE: Duration = Duration::from_millis(20);

/// An interval that nobody has written into a program, and its program.
async fn start<'a>(
    scene: &'a Scene,
    backends: &[RecordingBackend],
) -> Result<(Running<'a>, Duration), Finding> {
    let interval = scene.draw.number(110..190);
    scene.plan(format!("{} backends, health checks every {interval} ms", backends.len()));
    let settings = [("LAB_HEALTH_INTERVAL_MS", &*interval.to_string())];
    let running = scene.start_with(backends, &settings).await?;
    Ok((running, Duration::from_millis(interval)))
}

/// How the program is run by hand, with these backends.
fn run_with(backends: &str) -> String {
    format!("LAB_BACKENDS={backends} LAB_HEALTH_INTERVAL_MS=200 pingora-lab run {ID}")
}
