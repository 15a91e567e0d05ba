//! A backend has read a POST, and fails before it has answered: whether it has
//! acted on it nobody knows, so it is not sent again.

use std::time::Duration;

use super::start_unaware;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::Trouble;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, echo, one_by_one};

/// How a backend fails a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It resets once it has read the whole.
    Resets,
    /// It closes once it has read the whole.
    Closes,
    /// It resets inside the head of its answer.
    ResetsInTheAnswer,
    /// It resets when it has read the head, with some or none of the body.
    ResetsInTheBody,
}

const FAILURES: [Failure; 4] =
    [Failure::Resets, Failure::Closes, Failure::ResetsInTheAnswer, Failure::ResetsInTheBody];

/// Each failure, over connections that are new and over those of earlier requests.
pub async fn post_once(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    let mut failures = FAILURES;
    scene.draw.shuffle(&mut failures);
    // As long as every connection ends in a failure, each request has a new one.
    for failure in failures {
        is_sent_once(scene, &running, &backends, failure).await?;
    }
    scene.draw.shuffle(&mut failures);
    for failure in failures {
        // These leave every backend with a connection that may be used again.
        is_well(scene, &running, &backends, 3).await?;
        is_sent_once(scene, &running, &backends, failure).await?;
    }
    is_well(scene, &running, &backends, 1).await
}

async fn is_sent_once(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    failure: Failure,
) -> Outcome {
    let method = *scene.draw.pick(&["POST", "POST", "PATCH"]);
    // More than 64 KiB is more than Pingora keeps for another try.
    let length = *scene.draw.pick(&[1, 900, 20_000, 100_000]);
    let chunked = scene.draw.number(0..2) == 0;
    scene.plan(format!("every backend {failure:?}"));
    let request = Own::with_body(scene, running, method, scene.draw.bytes(length), chunked);
    set(scene, backends, failure);
    let tried = request.send(scene, running.client()).await;
    backends.iter().for_each(|backend| backend.set_early(None));
    told(scene, running, &tried, failure).await
}

fn set(scene: &Scene, backends: &[RecordingBackend], failure: Failure) {
    let after_bytes = usize::try_from(scene.draw.number(1..30)).unwrap_or(1);
    for backend in backends {
        match failure {
            Failure::Resets => backend.always(Act::ResetBeforeAnswer),
            Failure::Closes => backend.always(Act::CloseBeforeAnswer),
            Failure::ResetsInTheAnswer => {
                let reply = Reply::ok("too late");
                backend.always(Act::ResetInside { reply, after_bytes });
            }
            Failure::ResetsInTheBody => {
                backend.set_early(Some(std::sync::Arc::new(|_| Some(Act::ResetBeforeAnswer))));
            }
        }
    }
}

/// One backend has received it once, and the client knows that it failed.
async fn told(scene: &Scene, running: &Running<'_>, tried: &Tried, failure: Failure) -> Outcome {
    let exchange = &tried.exchange;
    let times = exchange.received.len();
    if times > 1 {
        let backends: Vec<_> = exchange.received.iter().map(|one| &*one.backend).collect();
        let method = exchange.request.method.clone();
        return Err(exchange
            .found(scene, "post-replayed")
            .compared("sent once, then 502", format!("sent {times} times"))
            .with("times", times)
            .with("method", method)
            .with("backends", backends.join(", "))
            .repeat(by_hand())
            .fail());
    }
    match &exchange.answer {
        _ if times == 0 => Err(tried.finding(scene, running).await),
        // 502 is what it is; 503 and 504 say no less that it failed.
        Ok(answer) if matches!(answer.status, 502..=504) => Ok(()),
        Ok(answer) => Err(exchange
            .found(scene, "lost-post-status")
            .compared("502", answer.status)
            .with("status", answer.status)
            .repeat(by_hand())
            .fail()),
        // Whoever closes a connection with bytes unread resets it, which may
        // overtake an answer: the client knows of the failure all the same.
        Err(Trouble::EmptyReply | Trouble::Reset | Trouble::Incomplete { .. })
            if failure == Failure::ResetsInTheBody && running.ended().await.is_none() =>
        {
            Ok(())
        }
        Err(trouble) => Err(running.trouble(trouble, &exchange.request).await),
    }
}

async fn is_well(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    count: usize,
) -> Outcome {
    echo(backends);
    let requests = (0..count).map(|_| Own::drawn(scene, running, "GET")).collect();
    for tried in one_by_one(scene, running, requests).await {
        if !tried.served() {
            return Err(tried.finding(scene, running).await);
        }
    }
    Ok(())
}

/// Two backends that read and never answer; the first ends after a while. If the
/// second shows the same POST then, it was sent again.
fn by_hand() -> Vec<String> {
    const SOON: Duration = Duration::from_secs(20);
    let listener =
        |time: Duration, port: u16| format!("timeout {} nc -lk 127.0.0.1 {port}", time.as_secs());
    vec![
        listener(SOON, 6195),
        listener(2 * SOON, 6196),
        "LAB_BACKENDS=127.0.0.1:6195,127.0.0.1:6196 LAB_HEALTH_INTERVAL_MS=60000 pingora-lab run 06-failures".to_owned(),
        "curl -i --data hello http://127.0.0.1:6188/post".to_owned(),
    ]
}
