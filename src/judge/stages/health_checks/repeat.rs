//! Every backend is looked at again and again, at the interval asked for. No
//! request is sent: whatever comes to a backend is a health check.

use std::time::{Duration, Instant};

use super::super::looks::Looks;
use super::{run_with, start};
use crate::backends::recording::RecordingBackend;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often each backend must be looked at.
const TIMES: usize = 6;

/// How much longer than its intervals that may take: less than a program with
/// checks of a second needs (five seconds), and more than a busy machine takes
/// for some connections. It counts as a finding that rests on time.
const SLACK: Duration = Duration::from_millis(2500);

/// Looks may come together when the machine was busy; not all of them. If six of
/// them come in less than this part of their time, it is not the interval that
/// was asked for. The finding rests on time as well.
const TOO_OFTEN: u32 = 4;

pub async fn checks_repeat(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let (_running, interval) = start(scene, &backends).await?;
    let begun = Instant::now();
    let asked = interval * u32::try_from(TIMES - 1).unwrap_or(1);
    let deadline = begun + asked + SLACK;
    let all: Vec<_> = backends.iter().collect();
    let looks = Looks::wait(scene, &all, 0, TIMES, deadline).await;

    let found = |id| {
        let expected = format!("each backend looked at every {} ms", interval.as_millis());
        let seconds = format!("{:.1}", begun.elapsed().as_secs_f64());
        Diagnosis::new(id)
            .compared(expected, format!("{} in {seconds} s", looks.in_words(&backends)))
            .with("interval_ms", u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
            .with("seconds", seconds)
            .with("backends", backends.len())
            .with("most", looks.most())
            .repeat(vec!["nc -lkv 127.0.0.1 6193".to_owned(), run_with("127.0.0.1:6193")])
    };
    // A TLS client sends its hello first: 16 (handshake), 03 (version).
    let tls = |one: &[u8]| one.starts_with(&[0x16, 0x03]);
    if scene.recorder.read(|log| log.garbage().any(|one| tls(&one.bytes))) {
        return Err(found("tls-health-check").fail());
    }
    match (looks.fewest(), looks.most()) {
        (TIMES.., _) => {}
        (_, 0) => return Err(found("health-check-never-runs").timed().fail()),
        (_, 1) if looks.fewest() == 1 => {
            return Err(found("health-check-runs-once").timed().fail());
        }
        (0, _) => {
            return Err(found("health-check-misses-backend")
                .with("missed", missed(&backends, &looks))
                .timed()
                .fail());
        }
        _ => return Err(found("interval-ignored").timed().fail()),
    }
    if looks.shortest_of(TIMES).is_some_and(|took| took < asked / TOO_OFTEN) {
        return Err(found("checks-too-often").timed().fail());
    }
    Ok(())
}

/// The backends that nobody looked at.
fn missed(backends: &[RecordingBackend], looks: &Looks) -> String {
    let never = backends.iter().zip(looks.counts()).filter(|(_, count)| *count == 0);
    never.map(|(backend, _)| backend.name()).collect::<Vec<_>>().join(", ")
}
