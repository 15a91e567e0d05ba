//! What a backend answers is its answer, 4xx and 5xx too: it is passed on as it
//! is, and nobody else is asked.

use super::start_unaware;
use crate::backends::recording::Act;
use crate::judge::exchange::{Case, drawn_reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

const STATUSES: [u16; 13] = [400, 403, 404, 409, 410, 418, 422, 429, 500, 501, 502, 503, 504];

/// Every status, with one of several methods.
pub async fn backend_errors_pass(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    let draw = &scene.draw;
    let mut statuses = STATUSES;
    draw.shuffle(&mut statuses);
    for status in statuses {
        let reply = drawn_reply(scene, status);
        backends.iter().for_each(|backend| backend.always(Act::Answer(reply.clone())));
        let length = usize::try_from(draw.number(1..2000)).unwrap_or(1);
        let case = match *draw.pick(&["GET", "GET", "POST", "PUT", "DELETE"]) {
            method @ ("POST" | "PUT") => {
                Case::new(method, draw.path(), reply).body(draw.bytes(length))
            }
            method => Case::new(method, draw.path(), reply),
        };
        let held = case.holds(scene, &running, &backends[0]).await;
        held.map_err(|finding| {
            let id = match finding.diagnosis().id {
                "sent-twice" => "backend-error-retried",
                "status-changed" | "answer-header-changed" | "answer-body-changed" => {
                    "backend-error-replaced"
                }
                _ => return finding,
            };
            finding.map(|found| found.renamed(id).with("status", status).repeat(by_hand(status)))
        })?;
    }
    Ok(())
}

fn by_hand(status: u16) -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        "LAB_BACKENDS=127.0.0.1:6190 pingora-lab run 06-failures".to_owned(),
        format!("curl -i http://127.0.0.1:6188/status/{status}"),
    ]
}
