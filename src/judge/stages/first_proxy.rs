//! 01 first-proxy: requests reach the one backend as they were sent, and answers
//! come back as they were given.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, future};

use super::starts::STARTS;
use crate::backends::recording::{Act, Framing, Gate, Reply};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::exchange::{Case, Exchange, drawn_reply};
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome, Pace, Stage};

const ID: &str = "01-first-proxy";

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check { id: "forwards", diagnoses: &[], run: |scene| forwards(scene).boxed() },
        Check { id: "large-bodies", diagnoses: &[], run: |scene| large_bodies(scene).boxed() },
        Check {
            id: "dead-backend",
            diagnoses: &["dead-backend-not-502", "dead-backend-slow", "stays-dead"],
            run: |scene| dead_backend(scene).boxed(),
        },
        Check {
            id: "parallel",
            diagnoses: &["one-at-a-time", "answers-mixed-up"],
            run: |scene| parallel(scene).boxed(),
        },
    ],
};

/// A refused connection is known at once; this is long for any machine.
const TO_A_502: Duration = Duration::from_secs(3);

/// How many clients ask at the same time.
const CLIENTS: usize = 50;

/// Every part of a request and of an answer, each once.
async fn forwards(scene: &Scene) -> Outcome {
    let backends = scene.backends(1)?;
    let running = scene.start(&backends).await?;
    let draw = &scene.draw;
    let target = || format!("{}?{}={}&again=%2F%20x", draw.path(), draw.word(), draw.word());
    let mut cases = vec![
        Case::new("GET", target(), drawn_reply(scene, 200)),
        // What is encoded stays encoded: the backend decides what it means.
        Case::new("GET", format!("{}/a%2Fb/%E4%B8%AD+x", draw.path()), drawn_reply(scene, 200))
            .header(&format!("X-{}", draw.word()), &draw.word()),
        Case::new("HEAD", target(), Reply::new(200).body(draw.bytes(20))),
        Case::new("POST", target(), drawn_reply(scene, 201)).body(draw.bytes(300)),
        Case::new("PUT", target(), drawn_reply(scene, 200)).chunked(draw.bytes(500), 64),
        Case::new("PATCH", target(), drawn_reply(scene, 422)).body(draw.bytes(40)),
        Case::new("DELETE", target(), drawn_reply(scene, 204)),
        Case::new("OPTIONS", target(), drawn_reply(scene, 200)),
        Case::new("GET", target(), drawn_reply(scene, 302).header("Location", draw.path())),
        Case::new("GET", target(), drawn_reply(scene, *draw.pick(&[400, 404, 410, 418]))),
        Case::new("GET", target(), drawn_reply(scene, *draw.pick(&[500, 503]))),
    ];
    // The first is the simplest: whoever fails it should hear of that one.
    draw.shuffle(&mut cases[1..]);
    for case in &cases {
        case.holds(scene, &running, &backends[0]).await?;
    }
    Ok(())
}

/// Bodies of 1 MiB, both ways, with a length and in chunks.
async fn large_bodies(scene: &Scene) -> Outcome {
    const LENGTH: usize = 1 << 20;
    let backends = scene.backends(1)?;
    let running = scene.start(&backends).await?;
    let draw = &scene.draw;
    let small = || drawn_reply(scene, 200);
    let large = |framing| Reply::ok(draw.bytes(LENGTH)).framing(framing);
    let odd = usize::try_from(draw.number(1_000..9_000)).unwrap_or(4096);
    let cases = [
        Case::new("POST", draw.path(), small()).body(draw.bytes(LENGTH)),
        Case::new("POST", draw.path(), small()).chunked(draw.bytes(LENGTH), odd),
        Case::new("GET", draw.path(), large(Framing::ContentLength)),
        Case::new("GET", draw.path(), large(Framing::Chunked(odd))),
    ];
    for case in &cases {
        case.holds(scene, &running, &backends[0]).await?;
    }
    Ok(())
}

/// A backend that refuses connections is a 502, soon, and not the end.
async fn dead_backend(scene: &Scene) -> Outcome {
    let backends = scene.backends(1)?;
    // If it looks after its backends, as a graduate does, then not in the middle of this.
    let settings = [("LAB_HEALTH_INTERVAL_MS", "60000")];
    let (running, backend) = (scene.start_with(&backends, &settings).await?, &backends[0]);
    let alive = || Case::new("GET", scene.draw.path(), drawn_reply(scene, 200));
    alive().holds(scene, &running, backend).await?;

    backend.refuse().map_err(|error| scene.our_error("a backend could not be stopped", &error))?;
    for _ in 0..3 {
        let request = running.request("GET", scene.draw.path());
        scene.plan(format!("GET {} of a dead backend", request.target));
        let exchange = Exchange::of(scene, running.client(), request).await;
        let answer = match &exchange.answer {
            Ok(answer) => answer,
            Err(Trouble::NoAnswer { after }) => {
                let limit = format!("502 within {} s", TO_A_502.as_secs());
                let found = exchange.found(scene, "dead-backend-slow");
                return Err(found
                    .compared(limit, format!("nothing within {after:?}"))
                    .timed()
                    .fail());
            }
            Err(trouble) => return Err(running.trouble(trouble, &exchange.request).await),
        };
        // A program that looks after its backends knows that none is left.
        let none_left = scene.stage() != ID && answer.status == 503;
        if answer.status != 502 && !none_left {
            let found = exchange.found(scene, "dead-backend-not-502");
            return Err(found.compared("502", answer.status).with("status", answer.status).fail());
        }
        if answer.took > TO_A_502 {
            let found = exchange.found(scene, "dead-backend-slow");
            let (limit, took) = (TO_A_502.as_secs(), answer.took.as_millis());
            return Err(found
                .compared(format!("502 within {limit} s"), format!("502 after {took} ms"))
                .timed()
                .fail());
        }
    }

    backend.listen().map_err(|error| scene.our_error("a backend could not come back", &error))?;
    let again = alive();
    match again.holds(scene, &running, backend).await {
        Err(finding) if finding.diagnosis().id == "backend-never-tried" => {
            Err(finding.map(|found| found.renamed("stays-dead")))
        }
        other => other.map(drop),
    }
}

/// Fifty requests at once: the backend answers none of them before it has all.
async fn parallel(scene: &Scene) -> Outcome {
    let backends = scene.backends(1)?;
    let running = scene.start(&backends).await?;
    let gate = Gate::for_all_of(CLIENTS);
    let hold = gate.clone();
    // Each answer names the request it belongs to.
    backends[0].set_to(move |received| Act::Hold(hold.clone(), Reply::ok(received.target.clone())));
    scene.plan(format!("{CLIENTS} clients at once"));
    let requests: Vec<_> =
        (0..CLIENTS).map(|_| running.request("GET", scene.draw.path())).collect();
    let begun = Instant::now();
    let client = running.client();
    let answers = future::join_all(requests.iter().map(|request| client.send(request))).await;
    for (request, answer) in requests.iter().zip(answers) {
        match answer {
            Ok(answer) if answer.text() == request.target => {}
            Ok(answer) if answer.status == 200 && gate.is_open() => {
                return Err(Diagnosis::new("answers-mixed-up")
                    .compared(&request.target, answer.text())
                    .repeat(scene.by_hand(request))
                    .fail());
            }
            Ok(answer) => {
                let exchange = Exchange {
                    request: request.clone(),
                    received: scene.recorder.read(|log| {
                        log.requests().filter(|one| one.target == request.target).cloned().collect()
                    }),
                    answer: Ok(answer),
                };
                exchange.through(scene, &running).await?;
                let status = exchange.answer.map_or(0, |answer| answer.status);
                return Err(Diagnosis::new("status-changed")
                    .compared(200, status)
                    .with("request", format!("GET {}", request.target))
                    .repeat(scene.by_hand(request))
                    .fail());
            }
            Err(Trouble::NoAnswer { .. }) if !gate.is_open() => {
                return Err(Diagnosis::new("one-at-a-time")
                    .compared(
                        format!("{CLIENTS} requests at the backend at the same time"),
                        format!("{} after {:.1} s", gate.waiting(), begun.elapsed().as_secs_f64()),
                    )
                    .with("in_flight", gate.waiting())
                    .with("clients", CLIENTS)
                    .timed()
                    .fail());
            }
            Err(trouble) => return Err(running.trouble(&trouble, request).await),
        }
    }
    Ok(())
}
