//! From a program and a stage to a verdict.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;

use super::diagnosis::{Diagnosis, Finding};
use super::disk;
use super::pulse::Pulse;
use super::scene::{Scene, Subject};
use super::stage::{Check, Stage};
use super::verdict::{CheckVerdict, Verdict};

/// If the machine stalled for so long, or its disk, and for so large a part of the time, a
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
    let asked = Asked { stage, written_for: stage.id, only: None };
    judge_by(asked, subject, seed, progress).await
}

/// What a program is judged by.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The stage whose checks it is judged by.
    pub stage: &'static Stage,
    /// The stage that it was written for, by its id: commands that are told name that one.
    pub written_for: &'static str,
    /// Of the checks behind the first, this one alone, by its id.
    pub only: Option<String>,
}

/// The same by other checks than all of the stage that it was written for.
pub async fn judge_by(
    asked: Asked,
    subject: &Subject,
    seed: u64,
    progress: &mpsc::UnboundedSender<Progress>,
) -> Verdict {
    let Asked { stage, written_for, only } = asked;
    let begun = Instant::now();
    let deadline = begun + stage.pace.limit;
    let pulse = Pulse::start();
    let mut verdict = Verdict {
        stage: stage.id,
        seed,
        checks: Vec::new(),
        not_run: Vec::new(),
        took: begun.elapsed(),
    };
    let decide = |check: &'static Check| {
        let scene = Scene::new(stage.id, check.id, subject.clone(), seed).written_for(written_for);
        decide(check, scene, deadline, &pulse, progress)
    };

    let Some((first, rest)) = stage.checks.split_first() else { return verdict };
    let first = decide(first).await;
    let started = first.finding.is_none();
    verdict.checks.push(first);
    if started {
        // Made beforehand, or the compiler does not see that the whole may be
        // sent to another thread.
        let asked = |check: &&Check| only.as_ref().is_none_or(|only| only == check.id);
        let rest = rest.iter().filter(asked).map(decide).enumerate();
        let rest: Vec<_> =
            rest.map(|(place, check)| check.map(move |decided| (place, decided))).collect();
        // In whatever order they end: one that takes long holds up no others.
        let mut rest: Vec<_> =
            stream::iter(rest).buffer_unordered(stage.pace.side_by_side).collect().await;
        rest.sort_unstable_by_key(|(place, _)| *place);
        verdict.checks.extend(rest.into_iter().map(|(_, decided)| decided));
    } else {
        verdict.not_run = rest.iter().map(|check| check.id).collect();
    }
    verdict.took = begun.elapsed();
    verdict
}

async fn decide(
    check: &'static Check,
    scene: Scene,
    deadline: Instant,
    pulse: &Pulse,
    progress: &mpsc::UnboundedSender<Progress>,
) -> CheckVerdict {
    // Nobody may listen; the verdict does not depend on it.
    let _ = progress.send(Progress::Begun(check.id));
    let (begun, waited_for_disk) = (Instant::now(), disk::waited_for());
    let outcome = tokio::time::timeout_at(deadline.into(), (check.run)(&scene)).await;
    let took = begun.elapsed();
    let stalled =
        pulse.stalled_since(begun).max(disk::waited_for().saturating_sub(waited_for_disk));
    let finding = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(finding)) => Some(finding),
        Err(_) => Some(out_of_time(deadline.saturating_duration_since(begun))),
    };
    let finding = finding.map(|finding| match finding {
        Finding::Fail(diagnosis)
            if diagnosis.timed && stalled >= STALLED.max(took / STALLED_PART) =>
        {
            too_slow(&diagnosis, stalled)
        }
        finding => finding.map(|found| found.with("check", check.id)),
    });
    let (plan, figures) = (scene.planned(), scene.figures());
    let verdict = CheckVerdict { id: check.id, finding, plan, figures, took };
    scene.end().await;
    let _ = progress.send(Progress::Decided(verdict.clone()));
    verdict
}

/// The whole stage has taken too long, which need not be the program's fault.
fn out_of_time(limit: Duration) -> Finding {
    Diagnosis::new("out-of-time").with("limit_s", limit.as_secs()).inconclusive()
}

fn too_slow(found: &Diagnosis, stalled: Duration) -> Finding {
    Diagnosis::new("machine-too-slow")
        .with("stalled_ms", u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX))
        .with("instead_of", found.id)
        .inconclusive()
}
