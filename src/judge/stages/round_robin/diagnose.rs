//! From turns that are not as they should be to what made them so.

use std::net::{IpAddr, Ipv4Addr};

use super::turn_of;
use crate::backends::recording::RecordingBackend;
use crate::judge::client::Trouble;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stages::turns::{self, Spread, Turns};

const STAGE: &str = "02-round-robin";

/// How many further requests tell a choice by something from a random one: with
/// two backends a random one stays with one backend in 2^-19 of cases.
const PROBES: u8 = 20;

/// Why requests one after another did not take turns.
pub async fn sequential(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
    turns: &Turns,
) -> Finding {
    let spread = turns.spread();
    let looked = match &spread {
        Spread::OnlyOne(_) => moves_with_the_client(scene, running, backends).await,
        Spread::Irregular => stays_with_the_request(scene, running, backends).await,
        _ => Ok(false),
    };
    let by_something = match looked {
        Ok(found) => found,
        Err(finding) => return finding,
    };
    let id = match &spread {
        Spread::OnlyOne(_) if by_something => "sticks-to-client",
        // Three and five took turns before; with two, every second turn is
        // always the same one's.
        Spread::OnlyOne(_) if turns.backends == 2 => "turn-taken-twice",
        Spread::OnlyOne(1) => "only-first-backend",
        Spread::OnlyOne(number) if is_lowest(backends, *number) => "counter-starts-anew",
        Spread::OnlyOne(_) => "only-one-backend",
        Spread::Missing(_) => "some-never-used",
        Spread::Irregular if by_something => "chosen-by-request",
        Spread::Irregular => "random-choice",
        Spread::Regular | Spread::Exact => "uneven-turns",
    };
    let diagnosis = with_turns(Diagnosis::new(id), turns);
    let diagnosis = match spread {
        Spread::OnlyOne(number) => diagnosis.with("backend", format!("backend {number}")),
        Spread::Missing(missing) => diagnosis.with("missing", turns::in_words(&missing)),
        _ => diagnosis,
    };
    diagnosis.repeat(one_by_one(turns.backends, turns.order.len())).fail()
}

/// Why the requests of one connection did not take turns.
pub fn on_one_connection(spread: &Spread, turns: &Turns) -> Finding {
    let id = match spread {
        Spread::OnlyOne(_) => "sticks-to-connection",
        _ => "uneven-on-connection",
    };
    let diagnosis = with_turns(Diagnosis::new(id), turns);
    let diagnosis = match spread {
        Spread::OnlyOne(number) => diagnosis.with("backend", format!("backend {number}")),
        _ => diagnosis,
    };
    diagnosis.repeat(over_one_connection(turns.order.len())).fail()
}

/// An error of the program's own while every backend is up: it had none to
/// choose from.
pub fn nothing_to_choose(exchange: &Exchange, finding: Finding) -> Finding {
    let own_error = exchange.answer.as_ref().is_ok_and(|answer| matches!(answer.status, 500 | 503));
    if own_error && finding.diagnosis().id == "backend-never-tried" {
        finding.map(|found| found.renamed("nothing-to-choose"))
    } else {
        finding
    }
}

/// Many requests, some at a time.
pub fn many(requests: usize, at_once: usize) -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        format!("pingora-lab run {STAGE}"),
        format!("pingora-lab probe --count {requests} --concurrency {at_once}"),
    ]
}

/// A program in front of ports where nobody listens.
pub fn nobody_there() -> Vec<String> {
    vec![
        format!("LAB_BACKENDS=127.0.0.1:6198,127.0.0.1:6199 pingora-lab run {STAGE}"),
        "curl -i http://127.0.0.1:6188/".to_owned(),
    ]
}

/// Requests one by one to so many backends.
fn one_by_one(backends: usize, requests: usize) -> Vec<String> {
    let addresses: Vec<_> =
        (6190..).take(backends).map(|port| format!("127.0.0.1:{port}")).collect();
    let mut commands = vec!["pingora-lab backends".to_owned()];
    if backends > 3 {
        commands.push("pingora-lab backends --ports 6193,6194,0".to_owned());
    }
    commands.extend([
        format!("LAB_BACKENDS={} pingora-lab run {STAGE}", addresses.join(",")),
        format!("pingora-lab probe --no-keepalive --count {requests}"),
    ]);
    commands
}

/// Requests over one connection.
fn over_one_connection(requests: usize) -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        format!("pingora-lab run {STAGE}"),
        format!("pingora-lab probe --count {requests}"),
    ]
}

fn with_turns(diagnosis: Diagnosis, turns: &Turns) -> Diagnosis {
    let (requests, backends) = (turns.order.len(), turns.backends);
    let share = vec![requests / backends; backends];
    diagnosis
        .compared(turns::in_words(&share), turns.shares())
        .with("requests", requests)
        .with("backends", backends)
        .with("order", turns.beginning())
}

fn is_lowest(backends: &[RecordingBackend], number: usize) -> bool {
    let lowest = backends.iter().map(RecordingBackend::address).min();
    lowest == backends.get(number - 1).map(RecordingBackend::address)
}

/// Whether clients at other addresses come to other backends, and each to the
/// same again.
async fn moves_with_the_client(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
) -> Result<bool, Finding> {
    let mut order = Vec::new();
    for last in 2..2 + PROBES {
        let client = running.client_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let request = running.request("GET", scene.draw.path());
        let exchange = Exchange::of(scene, client, request).await;
        if matches!(exchange.answer, Err(Trouble::NoSuchAddress { .. })) {
            // What is known of one address says enough against the program.
            return Ok(false);
        }
        order.push(turn_of(scene, running, backends, &exchange).await?);
    }
    Ok(order.iter().any(|&turn| turn != order[0]))
}

/// Whether the same request comes to the same backend each time.
async fn stays_with_the_request(
    scene: &Scene,
    running: &Running<'_>,
    backends: &[RecordingBackend],
) -> Result<bool, Finding> {
    let request = running.request("GET", scene.draw.path());
    let mut order = Vec::new();
    for _ in 0..PROBES {
        let exchange = Exchange::of(scene, running.client(), request.clone()).await;
        order.push(turn_of(scene, running, backends, &exchange).await?);
    }
    Ok(order.iter().all(|&turn| turn == order[0]))
}
