//! Programs judged side by side: as many at a time as leave the judge its time.

use std::path::PathBuf;

use anyhow::Context;
use futures_util::{StreamExt, future, stream};
use tokio::sync::mpsc;

use super::{Order, Step};
use crate::judge::{Asked, Command, Stage, Subject, Verdict, judge_by};

/// A program to judge.
#[derive(Clone, Debug)]
pub struct Trial {
    /// By the checks of this stage.
    pub stage: &'static Stage,
    /// The program.
    pub program: PathBuf,
    /// For the judge's draws.
    pub seed: u64,
    /// With which others it may run.
    pub lane: Lane,
    /// Of the checks behind the first, this one alone, by its id.
    pub only: Option<String>,
}

/// Trials of one lane are judged a few at a time, beside those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Programs that work for some seconds or less.
    Working,
    /// Programs that do nothing, which the judge waits for.
    Idle,
    /// Programs that keep a processor busy.
    Busy,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Working, Self::Idle, Self::Busy];

    /// How many at a time, on a machine with two processors.
    fn side_by_side(self) -> usize {
        match self {
            Self::Working => 3,
            Self::Idle => 6,
            Self::Busy => 1,
        }
    }
}

/// Judges all; the verdicts are in the order of the trials.
///
/// # Errors
///
/// Where the judge itself came to an end.
pub async fn judge_all(
    trials: Vec<Trial>,
    order: &Order,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> anyhow::Result<Vec<Verdict>> {
    let total = trials.len();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let run = |(number, trial): (usize, Trial)| {
        let done = &done;
        async move {
            let verdict = judge_one(trial, order).await;
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            tell(Step::Judging { done, total });
            verdict.map(|verdict| (number, verdict))
        }
    };
    let lanes = Lane::ALL.map(|lane| {
        let trials = trials.iter().cloned().enumerate().filter(move |(_, one)| one.lane == lane);
        let trials: Vec<_> = trials.collect();
        stream::iter(trials).map(run).buffer_unordered(lane.side_by_side()).collect::<Vec<_>>()
    });
    let verdicts = future::join_all(lanes).await.into_iter().flatten();
    let mut verdicts = verdicts.collect::<anyhow::Result<Vec<_>>>()?;
    verdicts.sort_by_key(|(number, _)| *number);
    Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
}

/// Judges one, in a task of its own: the others need not wait for its work.
pub async fn judge_one(trial: Trial, order: &Order) -> anyhow::Result<Verdict> {
    let subject = Subject {
        guard: order.guard.clone(),
        command: Command::Program(vec![trial.program.display().to_string()]),
        cwd: order.folder.clone(),
    };
    let task = tokio::spawn(async move {
        let (progress, _) = mpsc::unbounded_channel();
        let Trial { stage, only, seed, .. } = trial;
        let asked = Asked { stage, written_for: stage.id, only };
        judge_by(asked, &subject, seed, &progress).await
    });
    task.await.context("the judge ended before its verdict")
}
