//! No backend can be reached, whether the health checks know it or not: 503,
//! soon, with the reason. And they are used again once they are back.

use std::time::{Duration, Instant};

use super::{start, start_unaware};
use crate::backends::recording::RecordingBackend;
use crate::judge::client::{Answer, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, echo, listen, refuse};

/// Refused connections are known at once; this is long for any machine. It is
/// judged as a matter of time: if the machine stalled, nothing is said.
const TO_A_503: Duration = Duration::from_millis(1500);

/// For how many intervals of the health checks nothing can be reached.
const INTERVALS_DOWN: u32 = 4;

/// The pause between two requests that wait for a change.
const PAUSE: Duration = Duration::from_millis(20);

/// How long backends may be back before they are used again: many intervals, and
/// more than a busy machine takes for some connections.
const TO_COME_BACK: Duration = Duration::from_secs(4);

/// All down.
pub async fn all_down(scene: &Scene) -> Outcome {
    unaware(scene).await?;
    aware(scene).await
}

/// The health checks have found all well and will not look again so soon.
async fn unaware(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    refuse_all(scene, &backends)?;
    for method in ["GET", "POST", "GET"] {
        let tried = Own::drawn(scene, &running, method).send(scene, running.client()).await;
        says_so(scene, &running, &backends, &tried).await?;
    }
    Ok(())
}

/// The health checks look all the time: for a moment the program does not know,
/// then it does. Then all are back, and it may not hold the past against them.
async fn aware(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let interval = Duration::from_millis(scene.draw.number(60..110));
    let running = start(scene, &backends, interval).await?;
    echo(&backends);
    refuse_all(scene, &backends)?;
    scene.plan(format!("requests for {INTERVALS_DOWN} intervals"));
    let begun = Instant::now();
    while begun.elapsed() < interval * INTERVALS_DOWN {
        let tried = Own::unplanned(scene, &running).send(scene, running.client()).await;
        says_so(scene, &running, &backends, &tried).await?;
        tokio::time::sleep(PAUSE).await;
    }
    backends.iter().try_for_each(|backend| listen(scene, backend))?;
    let back = Instant::now();
    loop {
        let tried = Own::unplanned(scene, &running).send(scene, running.client()).await;
        if tried.served() {
            return Ok(());
        }
        if back.elapsed() > TO_COME_BACK {
            let finding = tried.finding(scene, &running).await;
            return Err(finding.map(|found| came_back_unseen(found, back.elapsed())));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn came_back_unseen(found: Diagnosis, after: Duration) -> Diagnosis {
    if found.id != "backend-never-tried" {
        return found;
    }
    let seconds = after.as_secs();
    let status = found.evidence.get("status").cloned().unwrap_or_default();
    found
        .renamed("stays-down")
        .compared("an answer of a backend", format!("{status} after {seconds} s"))
        .with("seconds", seconds)
        .timed()
}

fn refuse_all(scene: &Scene, backends: &[RecordingBackend]) -> Outcome {
    scene.plan("all backends refuse");
    backends.iter().try_for_each(|backend| refuse(scene, backend))
}

/// The answer is a 503 in time, with a reason that gives nothing away.
async fn says_so(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    tried: &Tried,
) -> Outcome {
    let exchange = &tried.exchange;
    let found = |id| exchange.found(scene, id).repeat(by_hand());
    let answer = match &exchange.answer {
        Ok(answer) => answer,
        Err(trouble @ Trouble::NoAnswer { after }) => {
            let finding = running.trouble(trouble, &exchange.request).await;
            if finding.diagnosis().id != "no-answer" {
                return Err(finding);
            }
            return Err(found("retries-without-end")
                .compared("503 at once", format!("nothing within {} s", after.as_secs()))
                .with("seconds", after.as_secs())
                .with("refusing", backends.len())
                .timed()
                .fail());
        }
        Err(trouble) => return Err(running.trouble(trouble, &exchange.request).await),
    };
    match answer.status {
        503 => {}
        502 => return Err(wrong_status(found("retries-run-out"), answer)),
        500.. => return Err(wrong_status(found("all-down-not-503"), answer)),
        // It answers by itself, or with what it was started with.
        _ => return Err(tried.finding(scene, running).await),
    }
    if answer.took > TO_A_503 {
        let (limit, took) = (TO_A_503.as_millis(), answer.took.as_millis());
        return Err(found("all-down-slow")
            .compared(format!("503 within {limit} ms"), format!("503 after {took} ms"))
            .timed()
            .fail());
    }
    let text = answer.text();
    if !gives_a_reason(&text) {
        return Err(found("no-reason").compared("a sentence that says why", body(&text)).fail());
    }
    let shown = backends.iter().map(|one| one.address().to_string()).find(|it| text.contains(it));
    if let Some(address) = shown {
        return Err(found("reason-shows-address")
            .compared("a reason without addresses", body(&text))
            .with("address", address)
            .fail());
    }
    Ok(())
}

fn wrong_status(found: Diagnosis, answer: &Answer) -> Finding {
    found.compared(503, answer.status).with("status", answer.status).fail()
}

/// Whether a body says more than the status line does.
fn gives_a_reason(text: &str) -> bool {
    const OF_THE_STATUS: [&str; 7] =
        ["http", "error", "service", "temporarily", "unavailable", "status", "code"];
    let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 1);
    words.any(|word| !OF_THE_STATUS.contains(&word.to_lowercase().as_str()))
}

fn body(text: &str) -> String {
    if text.is_empty() { "an empty body".to_owned() } else { text.chars().take(200).collect() }
}

fn by_hand() -> Vec<String> {
    [
        "timeout 20 pingora-lab backends",
        "LAB_HEALTH_INTERVAL_MS=60000 pingora-lab run 06-failures",
        "sleep 20; curl -i http://127.0.0.1:6188/get",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::gives_a_reason;

    #[test]
    fn the_status_alone_is_no_reason() {
        for text in ["", "\n", "503", "503 Service Unavailable\n", "HTTP 503: service unavailable"]
        {
            assert!(!gives_a_reason(text), "{text}");
        }
        for text in ["no backend is available", "没有可用的后端", "503: all upstreams are down"]
        {
            assert!(gives_a_reason(text), "{text}");
        }
    }
}
