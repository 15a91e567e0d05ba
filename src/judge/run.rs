//! From a program and a stage to a verdict.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;

use super::diagnosis::{Diagnosis, Finding};
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
    let (begun, stalls) = (Instant::now(), pulse.begun());
    let outcome = tokio::time::timeout_at(deadline.into(), (check.run)(&scene)).await;
    let took = begun.elapsed();
    let stalled = pulse.stalled_since(stalls);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::judge::scene::Command;
    use crate::judge::stage::Outcome;

    const HELD_UP: Duration = Duration::from_millis(400);

    /// For how long the machine has waited for its disk, in milliseconds.
    static WAITED: AtomicU64 = AtomicU64::new(0);

    fn waits(time: Duration) {
        WAITED.fetch_add(time.as_millis() as u64, Relaxed);
    }

    fn found(timed: bool) -> Finding {
        let diagnosis = Diagnosis::new("hung");
        if timed { diagnosis.timed().fail() } else { diagnosis.fail() }
    }

    /// What a check comes to that comes to this, in words.
    async fn decided(run: for<'a> fn(&'a Scene) -> BoxFuture<'a, Outcome>) -> String {
        let check: &'static Check = Box::leak(Box::new(Check { id: "a", diagnoses: &[], run }));
        let subject = Subject {
            guard: "/no/guard".into(),
            command: Command::Program(vec![]),
            cwd: "/".into(),
        };
        let pulse = Pulse::beside(|| Duration::from_millis(WAITED.load(Relaxed)));
        let (progress, _) = mpsc::unbounded_channel();
        let deadline = Instant::now() + Duration::from_secs(600);
        let verdict = decide(check, Scene::new("a", "a", subject, 1), deadline, &pulse, &progress);
        match verdict.await.finding {
            Some(Finding::Fail(found)) => format!("fails: {}", found.id),
            Some(Finding::Inconclusive(found)) => {
                let instead_of = found.evidence.get("instead_of").and_then(|id| id.as_str());
                format!("shows nothing: {} instead of {}", found.id, instead_of.unwrap_or("?"))
            }
            None => "passes".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_rests_on_time_says_nothing_where_the_disk_held_all_up() {
        let check = decided(|_| async { Err(found(true)) }.boxed());
        assert_eq!(check.await, "fails: hung");
        let check = decided(|_| {
            waits(HELD_UP);
            async { Err(found(true)) }.boxed()
        });
        assert_eq!(check.await, "shows nothing: machine-too-slow instead of hung");
        // What does not rest on time is what it is.
        let check = decided(|_| {
            waits(HELD_UP);
            async { Err(found(false)) }.boxed()
        });
        assert_eq!(check.await, "fails: hung");
        let check = decided(|_| {
            waits(HELD_UP);
            async { Ok(()) }.boxed()
        });
        assert_eq!(check.await, "passes");
    }
}
