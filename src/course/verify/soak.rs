//! Right programs judged again and again: whether any is ever found wrong, and
//! how long it takes.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::figures::Figures;
use super::report::evidence;
use super::trials::judge_one;
use super::variant::Kind;
use super::{Order, Step, prepare};
use crate::judge::{State, Verdict};

/// What came of it.
#[derive(Debug, Serialize)]
pub struct SoakReport {
    /// The first seed.
    pub seed: u64,
    /// How often each stage's solution was judged, each time with another seed.
    pub runs: u64,
    /// How many threads were busy beside.
    pub busy: usize,
    /// The stages, in the course's order.
    pub stages: Vec<SoakStage>,
}

/// What came of one stage.
#[derive(Debug, Serialize)]
pub struct SoakStage {
    /// The stage's id.
    pub stage: &'static str,
    /// How often it passed.
    pub passed: u64,
    /// How often neither could be shown.
    pub inconclusive: u64,
    /// Runs that did not pass, each with its seed.
    pub findings: Vec<String>,
    /// How long the checks took.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Judges each stage's solution so often, one run after another, beside so many
/// busy threads.
///
/// # Errors
///
/// Where a stage can't be built.
pub async fn soak(
    order: &Order,
    runs: u64,
    busy: usize,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> anyhow::Result<SoakReport> {
    let prepared = prepare(order, tell).await?;
    let load = Load::start(busy);
    let mut stages = Vec::new();
    let (mut done, total) = (0, prepared.len() * usize::try_from(runs)?);
    for one in &prepared {
        let stage = one.stage;
        let solution = one.variants.iter().position(|variant| variant.kind == Kind::Solution);
        let (Some(solution), Ok(programs)) = (solution, &one.built.programs) else {
            let why = one.built.programs.as_ref().err();
            anyhow::bail!("{}: {}", stage.id, why.map_or("there is no solution", String::as_str));
        };
        let mut verdicts = Vec::new();
        for seed in order.seed..order.seed + runs {
            verdicts.push(judge_one(one.trial(programs, solution, seed), order).await?);
            done += 1;
            tell(Step::Judging { done, total });
        }
        stages.push(SoakStage::of(stage.id, &verdicts));
    }
    drop(load);
    Ok(SoakReport { seed: order.seed, runs, busy, stages })
}

/// Threads that are busy until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start(threads: usize) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        for _ in 0..threads {
            let stopped = Arc::clone(&stopped);
            std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stopped)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// === impl SoakReport ===

impl SoakReport {
    /// Failed where a right program was found wrong; else inconclusive where
    /// one was.
    pub fn state(&self) -> State {
        let failed = |stage: &SoakStage| stage.passed + stage.inconclusive < self.runs;
        if self.stages.iter().any(failed) {
            State::Fail
        } else if self.stages.iter().any(|stage| stage.inconclusive > 0) {
            State::Inconclusive
        } else {
            State::Pass
        }
    }
}

impl SoakStage {
    fn of(stage: &'static str, verdicts: &[Verdict]) -> Self {
        let count = |state| verdicts.iter().filter(|one| one.state() == state).count() as u64;
        let findings = verdicts.iter().filter(|verdict| verdict.state() != State::Pass);
        let line = |verdict: &Verdict| format!("seed {}: {}", verdict.seed, evidence(verdict));
        Self {
            stage,
            passed: count(State::Pass),
            inconclusive: count(State::Inconclusive),
            findings: findings.map(line).collect(),
            figures: Figures::of(verdicts.iter().map(|verdict| verdict.took)),
        }
    }
}

impl Display for SoakReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let beside = if self.busy == 0 {
            String::new()
        } else {
            format!(" beside {} busy threads", self.busy)
        };
        writeln!(f, "{} runs of each solution{beside}, from seed {}", self.runs, self.seed)?;
        writeln!(
            f,
            "  {:20} {:>7} {:>7} {:>13} {:>7} {:>7} {:>7}",
            "STAGE", "PASSED", "FAILED", "INCONCLUSIVE", "P50 MS", "P95 MS", "MAX MS"
        )?;
        for stage in &self.stages {
            let SoakStage { passed, inconclusive, .. } = stage;
            let failed = self.runs - passed - inconclusive;
            let Figures { p50_ms, p95_ms, max_ms } = stage.figures;
            writeln!(
                f,
                "  {:20} {passed:>7} {failed:>7} {inconclusive:>13} {p50_ms:>7} {p95_ms:>7} {max_ms:>7}",
                stage.stage
            )?;
            for finding in &stage.findings {
                writeln!(f, "    {finding}")?;
            }
        }
        Ok(())
    }
}
