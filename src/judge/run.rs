//! From a program and a stage to a verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;

use super::diagnosis::{Diagnosis, Finding};
use super::pulse::Pulse;
use super::scene::{Scene, Subject};
use super::stage::{Check, Stage};
use super::verdict::{CheckVerdict, Verdict};

/// How many checks are run side by side. Most of a check is waiting.
const SIDE_BY_SIDE: usize = 4;

/// A check has said something by then, whatever the program does.
const LIMIT: Duration = Duration::from_secs(14);

/// If the machine stalled for so long, and for so large a part of the time, a
/// finding that rests on time says nothing.
const STALLED: Duration = Duration::from_millis(300);
const STALLED_PART: u32 = 4;

/// What happens while a stage is judged.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A check has begun.
    Begun(&'static str),
    /// A check has been decided.
    Decided(CheckVerdict),
}

/// Judges a program by the checks of a stage. Who no longer wants the verdict
/// drops the future: everything that was started is then ended.
pub async fn judge(
    stage: &'static Stage,
    subject: &Subject,
    seed: u64,
    progress: &mpsc::UnboundedSender<Progress>,
) -> Verdict {
    let begun = Instant::now();
    let deadline = begun + LIMIT;
    let pulse = Pulse::start();
    let mut verdict = Verdict {
        stage: stage.id,
        seed,
        checks: Vec::new(),
        not_run: Vec::new(),
        took: begun.elapsed(),
    };
    let decide =
        |check: &'static Check| decide(stage, check, subject, seed, deadline, &pulse, progress);

    let Some((first, rest)) = stage.checks.split_first() else { return verdict };
    let first = decide(first).await;
    let started = first.finding.is_none();
    verdict.checks.push(first);
    if started {
        // Made beforehand, or the compiler does not see that the whole may be
        // sent to another thread.
        let rest = rest.iter().map(decide).enumerate();
        let rest: Vec<_> =
            rest.map(|(place, check)| check.map(move |decided| (place, decided))).collect();
        // In whatever order they end: one that takes long holds up no others.
        let mut rest: Vec<_> = stream::iter(rest).buffer_unordered(SIDE_BY_SIDE).collect().await;
        rest.sort_unstable_by_key(|(place, _)| *place);
        verdict.checks.extend(rest.into_iter().map(|(_, decided)| decided));
    } else {
        verdict.not_run = rest.iter().map(|check| check.id).collect();
    }
    verdict.took = begun.elapsed();
    verdict
}

async fn decide(
    stage: &'static Stage,
    check: &'static Check,
    subject: &Subject,
    seed: u64,
    deadline: Instant,
    pulse: &Pulse,
    progress: &mpsc::UnboundedSender<Progress>,
) -> CheckVerdict {
    // Nobody may listen; the verdict does not depend on it.
    let _ = progress.send(Progress::Begun(check.id));
    let begun = Instant::now();
    let scene = Arc::new(Scene::new(stage.id, check.id, subject.clone(), seed));
    let outcome = tokio::time::timeout_at(deadline.into(), (check.run)(&scene)).await;
    let (took, stalled) = (begun.elapsed(), pulse.stalled_since(begun));
    let finding = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(finding)) => Some(finding),
        Err(_) => Some(out_of_time()),
    };
    let finding = finding.map(|finding| match finding {
        Finding::Fail(diagnosis)
            if diagnosis.timed && stalled >= STALLED.max(took / STALLED_PART) =>
        {
            too_slow(&diagnosis, stalled)
        }
        finding => finding.map(|found| found.with("check", check.id)),
    });
    let verdict = CheckVerdict { id: check.id, finding, plan: scene.planned(), took };
    scene.end().await;
    let _ = progress.send(Progress::Decided(verdict.clone()));
    verdict
}

/// The whole stage has taken too long, which need not be the program's fault.
fn out_of_time() -> Finding {
    Diagnosis::new("out-of-time").with("limit_s", LIMIT.as_secs()).inconclusive()
}

fn too_slow(found: &Diagnosis, stalled: Duration) -> Finding {
    Diagnosis::new("machine-too-slow")
        .with("stalled_ms", u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX))
        .with("instead_of", found.id)
        .inconclusive()
}
