//! How long a learner waits: from a save to the first word of the compiler where
//! the code is wrong, and to the verdict where it is right.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;
use tokio::sync::mpsc;

use super::figures::Figures;
use super::project::claim;
use super::{Order, Step};
use crate::course::build::{self, Level};
use crate::course::lesson::{self, Lesson};
use crate::course::trial::{Event, Report, Source, Trial};
use crate::course::watch::Files;
use crate::course::workspace::{Workspace, init};
use crate::judge::{Stage, State};
use crate::language::Language;

/// Where cargo builds in a workspace.
const BUILT: &str = "target";

/// What came of it.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    /// How long the very first build took, in milliseconds, dependencies and all;
    /// none where they were there from an earlier run.
    pub first_build_ms: Option<u64>,
    /// How often each was measured.
    pub rounds: u64,
    /// The stages, in the course's order.
    pub stages: Vec<BenchStage>,
    /// All stages taken together.
    pub all: BenchStage,
    /// Failed where a round did not go as it should, inconclusive where none could
    /// be shown to. Times decide nothing.
    pub state: State,
}

/// The times of one stage.
#[derive(Debug, Default, Serialize)]
pub struct BenchStage {
    /// The stage's id.
    pub stage: &'static str,
    /// From a save that does not compile to the compiler's first error.
    pub first_error: Figures,
    /// From a save of a right program to its verdict.
    pub verdict: Figures,
    /// The part of that in which cargo builds.
    pub build: Figures,
    /// The part of that in which the judge checks.
    pub checks: Figures,
    /// What did not go as it should, a round a line.
    pub troubles: Vec<String>,
}

#[derive(Debug, Default)]
struct Times {
    first_error: Vec<Duration>,
    verdict: Vec<Duration>,
    build: Vec<Duration>,
    checks: Vec<Duration>,
}

/// Saves each stage's solution so often in a workspace, once with an error in it
/// and once without, each time with a line that the compiler has not seen yet,
/// and measures as `learn` works: from the write on, by its own watch.
///
/// # Errors
///
/// Where the workspace can't be made, or the solution can't be changed.
pub async fn bench(
    order: &Order,
    rounds: u64,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> anyhow::Result<BenchReport> {
    let workspace = workspace(&order.folder)?;
    let mut first_build = !workspace.root().join(BUILT).exists();
    let mut first_build_ms = None;
    let (mut stages, mut all) = (Vec::new(), Times::default());
    let (mut all_troubles, mut state) = (Vec::new(), State::Pass);
    let total = order.stages.len() * usize::try_from(rounds)?;
    for stage in &order.stages {
        let mut saver = Saver::new(stage, &workspace, order)?;
        let (mut times, mut troubles) = (Times::default(), Vec::new());
        // The dependencies, and what the compiler keeps from build to build.
        let first = saver.save(0, false).await?;
        if std::mem::take(&mut first_build) {
            first_build_ms = Some(u64::try_from(first.report.build.as_millis())?);
        }
        for round in 1..=rounds {
            let wrong = saver.save(2 * round, true).await?;
            let right = saver.save(2 * round + 1, false).await?;
            if let Err((found, why)) = times.add(&wrong, &right) {
                troubles.push(format!("round {round}: {why}"));
                state = if state == State::Fail { state } else { found };
            }
            let done = all.rounds() + times.rounds();
            tell(Step::Judging { done, total });
        }
        all_troubles.extend(troubles.iter().map(|why| format!("{}, {why}", stage.id)));
        stages.push(times.figures(stage.id, troubles));
        all.extend(times);
    }
    let all = all.figures("all", all_troubles);
    Ok(BenchReport { first_build_ms, rounds, stages, all, state })
}

/// A workspace as a learner has it, of this version of the course; what was built
/// there before is kept.
fn workspace(folder: &Path) -> anyhow::Result<Workspace> {
    let root = claim(folder)?.join("my-lab");
    let clear = || -> std::io::Result<()> {
        fs::create_dir_all(&root)?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_name() == BUILT {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().with_context(|| format!("{} cannot be cleared", root.display()))?;
    let made = init(&root, Language::En);
    Ok(made.map_err(|error| anyhow!(error.explain(Language::En)))?.workspace)
}

/// Saves a stage's file, and waits for what comes of it.
struct Saver {
    lesson: &'static Lesson,
    file: PathBuf,
    trial: Trial,
    saves: mpsc::UnboundedReceiver<()>,
    /// Tells of `saves` while it lives.
    _watch: Files,
}

/// What came of a save.
struct Saved {
    /// Until the compiler's first error, if there was one.
    first_error: Option<Duration>,
    /// Until all was known.
    whole: Duration,
    report: Report,
}

// === impl Saver ===

impl Saver {
    fn new(stage: &'static Stage, workspace: &Workspace, order: &Order) -> anyhow::Result<Self> {
        let lesson = lesson::all().iter().find(|lesson| lesson.id() == stage.id);
        let lesson = lesson.with_context(|| format!("{}: there is no lesson", stage.id))?;
        let source = Source::Workspace { workspace: workspace.clone(), color: false };
        let guard = order.guard.clone();
        let trial = Trial { lesson, stage, seed: order.seed, source, guard };
        let file = workspace.stage_file(lesson);
        let (tell, saves) = mpsc::unbounded_channel();
        let watch = Files::watch(workspace, lesson, move |_| tell.send(()).is_ok());
        Ok(Self { lesson, file, trial, saves, _watch: watch })
    }

    /// The solution with one more statement, which differs from number to number.
    fn text(&self, number: u64, wrong: bool) -> anyhow::Result<String> {
        const MAIN: &str = "fn main() {";
        let (before, after) = self
            .lesson
            .solution()
            .split_once(MAIN)
            .with_context(|| format!("{}: the solution has no `{MAIN}`", self.lesson.id()))?;
        let value = if wrong { format!("{number:?}.no_such_method()") } else { number.to_string() };
        Ok(format!("{before}{MAIN}\n    std::hint::black_box({value});{after}"))
    }

    async fn save(&mut self, number: u64, wrong: bool) -> anyhow::Result<Saved> {
        let text = self.text(number, wrong)?;
        let begun = Instant::now();
        let file = &self.file;
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        let saved = self.saves.recv().await;
        saved.with_context(|| format!("the watch over {} ended", file.display()))?;
        let (send, mut events) = mpsc::unbounded_channel();
        let listening = tokio::spawn(async move {
            let mut first_error = None;
            while let Some(event) = events.recv().await {
                if let Event::Build(build::Event::Diagnostic(found)) = event
                    && found.level == Level::Error
                {
                    first_error.get_or_insert_with(|| begun.elapsed());
                }
            }
            first_error
        });
        let report = self.trial.run(&send).await;
        let whole = begun.elapsed();
        drop(send);
        Ok(Saved { first_error: listening.await?, whole, report })
    }
}

// === impl Times ===

impl Times {
    /// Takes a round's times.
    ///
    /// # Errors
    ///
    /// What it comes to, and why, where it did not go as it should.
    fn add(&mut self, wrong: &Saved, right: &Saved) -> Result<(), (State, String)> {
        let Some(first_error) = wrong.first_error else {
            return Err((State::Fail, "the compiler found nothing wrong".to_owned()));
        };
        let state = right.report.state();
        let (State::Pass, Some(verdict)) = (state, right.report.verdict()) else {
            return Err((state, format!("the solution: {state:?}")));
        };
        self.first_error.push(first_error);
        self.verdict.push(right.whole);
        self.build.push(right.report.build);
        self.checks.push(verdict.took);
        Ok(())
    }

    fn rounds(&self) -> usize {
        self.verdict.len()
    }

    fn extend(&mut self, other: Self) {
        self.first_error.extend(other.first_error);
        self.verdict.extend(other.verdict);
        self.build.extend(other.build);
        self.checks.extend(other.checks);
    }

    fn figures(&self, stage: &'static str, troubles: Vec<String>) -> BenchStage {
        let of = |times: &[Duration]| Figures::of(times.iter().copied());
        BenchStage {
            stage,
            first_error: of(&self.first_error),
            verdict: of(&self.verdict),
            build: of(&self.build),
            checks: of(&self.checks),
            troubles,
        }
    }
}

// === impl BenchReport ===

impl Display for BenchReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} saves of each kind in each stage; median and 95th percentile, ms",
            self.rounds
        )?;
        writeln!(
            f,
            "  {:20} {:>15} {:>15} {:>15} {:>15}",
            "STAGE", "FIRST ERROR", "VERDICT", "OF IT, BUILD", "OF IT, CHECKS"
        )?;
        for stage in self.stages.iter().chain([&self.all]) {
            let shown = |figures: &Figures| format!("{} {:>6}", figures.p50_ms, figures.p95_ms);
            writeln!(
                f,
                "  {:20} {:>15} {:>15} {:>15} {:>15}",
                stage.stage,
                shown(&stage.first_error),
                shown(&stage.verdict),
                shown(&stage.build),
                shown(&stage.checks),
            )?;
        }
        if let Some(ms) = self.first_build_ms {
            writeln!(f, "  the first build of all: {:.1} s", ms as f64 / 1000.0)?;
        }
        for trouble in &self.all.troubles {
            writeln!(f, "  {trouble}")?;
        }
        Ok(())
    }
}
