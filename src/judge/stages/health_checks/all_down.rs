//! No backend is left, and the checks have found it: 503, at once.

use std::time::{Duration, Instant};

use super::{PAUSE, run_with, start};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, echo, refuse};

/// What the stage asks for. A right program answers within a few milliseconds; on
/// a machine that stalled nothing is said.
const TO_A_503: Duration = Duration::from_secs(1);

/// How long the program may take to find out: many intervals, and more than a busy
/// machine takes for some connections. Until then a refused connection may be a
/// 502.
const TO_FIND_OUT: Duration = Duration::from_secs(3);

/// How many requests are judged once it has found out.
const REQUESTS: usize = 6;

pub async fn all_down(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let (running, interval) = start(scene, &backends).await?;
    echo(&backends);
    let first = Own::drawn(scene, &running, "GET").send(scene, running.client()).await;
    if !first.served() {
        return Err(first.finding(scene, &running).await);
    }
    scene.plan("all backends refuse");
    backends.iter().try_for_each(|backend| refuse(scene, backend))?;
    let begun = Instant::now();
    let limit = interval * 4 + TO_FIND_OUT;
    loop {
        let tried = Own::unplanned(scene, &running).send(scene, running.client()).await;
        match tried.exchange.answer.as_ref().map(|answer| answer.status) {
            Ok(503) => break,
            Ok(502 | 504) if begun.elapsed() < limit => {}
            _ => return Err(not_a_503(scene, &running, &tried, begun.elapsed()).await),
        }
        tokio::time::sleep(PAUSE).await;
    }
    for method in ["GET", "POST", "GET", "PUT", "GET", "GET"].into_iter().take(REQUESTS) {
        let tried = Own::drawn(scene, &running, method).send(scene, running.client()).await;
        let Ok(answer) = &tried.exchange.answer else {
            return Err(not_a_503(scene, &running, &tried, begun.elapsed()).await);
        };
        if answer.status != 503 {
            return Err(not_a_503(scene, &running, &tried, begun.elapsed()).await);
        }
        if answer.took > TO_A_503 {
            let took = format!("503 after {} ms", answer.took.as_millis());
            return Err(slow(found(scene, &tried, "all-down-slow"), &took));
        }
    }
    Ok(())
}

async fn not_a_503(
    scene: &Scene,
    running: &Running<'_>,
    tried: &Tried,
    after: Duration,
) -> Finding {
    let status = match &tried.exchange.answer {
        Ok(answer) => answer.status,
        Err(trouble @ Trouble::NoAnswer { after }) => {
            let finding = running.trouble(trouble, &tried.exchange.request).await;
            if finding.diagnosis().id != "no-answer" {
                return finding;
            }
            let nothing = format!("nothing within {} ms", after.as_millis());
            return slow(found(scene, tried, "all-down-slow"), &nothing);
        }
        Err(trouble) => return running.trouble(trouble, &tried.exchange.request).await,
    };
    let found = |id| {
        found(scene, tried, id)
            .compared(503, status)
            .with("status", status)
            .with("seconds", format!("{:.1}", after.as_secs_f64()))
    };
    match status {
        502 | 504 => found("all-down-still-tried").timed().fail(),
        500.. => found("all-down-not-503").fail(),
        // It answers by itself, or with what a backend once said.
        _ => tried.finding(scene, running).await,
    }
}

fn found(scene: &Scene, tried: &Tried, id: &'static str) -> Diagnosis {
    tried.exchange.found(scene, id).repeat(vec![
        run_with("127.0.0.1:6198,127.0.0.1:6199"),
        "sleep 2; curl -i -w '%{time_total} s\\n' http://127.0.0.1:6188/get".to_owned(),
    ])
}

fn slow(found: Diagnosis, actual: &str) -> Finding {
    let limit = TO_A_503.as_secs();
    found.compared(format!("503 within {limit} s"), actual).timed().fail()
}
