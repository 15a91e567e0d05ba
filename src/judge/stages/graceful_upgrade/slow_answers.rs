//! SIGTERM: what is under way is finished, and nobody new is taken.

use std::time::{Duration, Instant};

use futures_util::future;

use super::setup::{LONG, Setup};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Finding;
use crate::judge::program::ExitKind;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried};

/// How long after SIGTERM somebody may still be let in.
const TO_REFUSE: Duration = Duration::from_secs(1);

/// How often it is tried to get in.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// How long it may take to stop listening before what is under way goes on; nothing is judged
/// by it here.
const TO_STOP: Duration = Duration::from_millis(500);

/// How long an answer may take that its backend keeps back until all three are under way, which
/// is waited for.
const TO_ANSWER: Duration = Duration::from_secs(9);

/// How long its end is waited for; whoever takes longer is told in another check.
const TO_END: Duration = Duration::from_secs(1);

/// A part of the target of an answer that comes in pieces.
const DRIPS: &str = "/drips/";

/// The pieces of such an answer, and the pause between two.
const PIECES: usize = 10;
const PAUSE: Duration = Duration::from_millis(80);

/// What a request was doing when the signal came.
const WAITS: &str = "waited for its backend";
const COMES: &str = "was being answered, piece by piece";
const GOES: &str = "was still being sent by its client";

/// One request waits for its backend, the answer to another comes in pieces, and a third is
/// still being sent.
pub async fn slow_answers_finish(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    let hold = setup.gate.clone();
    setup.backend.set_to(move |received| {
        let reply = Reply::ok(received.target.clone());
        match &received.target {
            target if target.contains(DRIPS) => {
                let reply = reply.framing(Framing::Chunked(3));
                let chunk = reply.to_bytes("GET").len().div_ceil(PIECES);
                Act::Drip { reply, chunk, every: PAUSE }
            }
            target if target.contains("/held/") => Act::Hold(hold.clone(), reply),
            _ => Act::Answer(reply),
        }
    });
    let (client, draw) = (setup.running.client().patience(TO_ANSWER), &scene.draw);
    let held = setup.held();
    let drips = format!("/anything{DRIPS}{}/{}", draw.word(), draw.word());
    let drips = Own::drawn_to(scene, &setup.running, "GET", drips);
    let body = draw.bytes(4000);
    let upload = Own::with_body(scene, &setup.running, "POST", body, false);

    let (reaches, begins) = (held.clone(), drips.clone());
    let sent = future::join(held.send(scene, client), drips.send(scene, client));
    let script = async {
        setup.comes(&reaches).await;
        setup.comes(&begins).await;
        let uploaded = half_sent(&setup, upload).await;
        setup.gate.open();
        uploaded
    };
    let ((held, drips), uploaded) = future::join(sent, script).await;
    for (tried, what) in [(held, WAITS), (drips, COMES), (uploaded?, GOES)] {
        is_finished(&setup, &tried, what).await?;
    }
    match setup.running.exits_within(TO_END).await {
        Some(exit) => setup.is_zero(exit, "SIGTERM"),
        None => Ok(()),
    }
}

/// The signal comes while half of this request has been sent.
async fn half_sent(setup: &Setup<'_>, upload: Own) -> Result<Tried, Finding> {
    let bytes = upload.request.to_bytes();
    let half = bytes.len() / 2;
    let connected = setup.running.client().connect().await;
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(trouble) => return Err(setup.running.trouble(&trouble, &upload.request).await),
    };
    // What can't be written is told by the answer that does not come.
    let _ = connection.write(&bytes[..half]).await;
    setup.comes(&upload).await;
    setup.running.terminate().await?;
    setup.stops_listening(Instant::now() + TO_STOP).await?;
    let _ = connection.write(&bytes[half..]).await;
    let answer = connection.read_answer("POST").await;
    Ok(upload.with_answer(setup.scene, answer).await)
}

/// The answer came whole.
pub async fn is_finished(setup: &Setup<'_>, tried: &Tried, what: &'static str) -> Outcome {
    if tried.served() {
        return Ok(());
    }
    let Err(trouble) = &tried.exchange.answer else {
        return Err(tried.finding(setup.scene, &setup.running).await);
    };
    // Its end may be told a moment after that of its connections.
    let exit = setup.running.exits_within(Duration::from_millis(200)).await;
    let id = match exit {
        Some(ExitKind::Code(_) | ExitKind::Signal(_)) => "exits-at-once",
        None => "answer-cut",
    };
    Err(setup
        .found(id)
        .compared("the whole answer", trouble)
        .with("what", what)
        .repeat(setup.by_hand("SIGTERM"))
        .fail())
}

/// While something is under way, so that the process is there: whoever comes is turned away.
pub async fn refuses_new(scene: &Scene) -> Outcome {
    let setup = Setup::start(scene, LONG).await?;
    let held = setup.held();
    let reaches = held.clone();
    let sent = held.send(scene, setup.running.client());
    let script = async {
        setup.comes(&reaches).await;
        setup.running.terminate().await?;
        let refused = turns_away(&setup).await;
        setup.gate.open();
        refused
    };
    let (held, refused) = future::join(sent, script).await;
    refused?;
    is_finished(&setup, &held, WAITS).await
}

async fn turns_away(setup: &Setup<'_>) -> Outcome {
    let begun = Instant::now();
    loop {
        let connected = setup.running.client().patience(TO_REFUSE).connect().await;
        if matches!(connected, Err(Trouble::Refused)) {
            return Ok(());
        }
        if begun.elapsed() >= TO_REFUSE {
            let limit = TO_REFUSE.as_millis();
            return Err(setup
                .found("still-accepts")
                .compared(
                    "connections are refused",
                    format!("a connection was accepted {limit} ms after SIGTERM"),
                )
                .with("after_ms", u64::try_from(limit).unwrap_or_default())
                .repeat(setup.by_hand("SIGTERM"))
                .timed()
                .fail());
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}
