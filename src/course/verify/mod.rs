//! The proof of the course's content, for those who write it.
//!
//! For each stage it shows that the starter compiles without warnings and is
//! unfinished where the stage's work begins; that the solution and other right
//! programs pass; that every mistake of `mistakes.toml` fails first at its check
//! with its diagnosis, and so do programs that are wrong in every stage; that one
//! seed gives one verdict; and that a learner is told everything in whole
//! sentences.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `content` | what can be seen without building: ids, boxes, texts, counts |
//! | `variant` | the programs, and what must be said of each |
//! | `project` | all of a stage's programs as one, built by cargo |
//! | `trials` | the programs judged side by side |
//! | `told` | whether the texts have all that they ask for |
//! | `report` | what was found, as a matrix |
//! | `soak` | right programs judged again and again |
//! | `bench` | how long a learner waits |
//! | `figures` | how long many runs took |

pub mod bench;
pub mod content;
pub mod figures;
pub mod report;
pub mod soak;
pub mod variant;

mod project;
mod told;
mod trials;

pub use bench::{BenchReport, bench};
pub use report::Report;
pub use soak::{SoakReport, soak};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use crate::course::lesson::{self, Lesson};
use crate::judge::{CheckVerdict, Stage, State, Verdict, stages};

use project::{Built, Project};
use report::{Row, StageReport};
use trials::{Lane, Trial, judge_all};
use variant::{Kind, Variant, Wanted};

/// What to prove, and where.
#[derive(Clone, Debug)]
pub struct Order {
    /// These stages, in this order.
    pub stages: Vec<&'static Stage>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds, one after another.
    pub seeds: u64,
    /// Where the programs are built: an empty folder, or one of an earlier
    /// proof, whose build is taken up.
    pub folder: PathBuf,
    /// The program that stands between the judge and what it judges: this one.
    pub guard: PathBuf,
}

/// What is being done.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The stages are built.
    Building {
        /// What is compiled at this moment.
        names: &'a str,
        /// Steps done, by cargo's count.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// Programs are judged.
    Judging {
        /// Programs judged.
        done: usize,
        /// Programs in all.
        total: usize,
    },
}

/// The checkout of the course that this folder lies in, or is.
pub fn checkout(from: &Path) -> Option<&Path> {
    from.ancestors().find(|folder| folder.join("lessons/common.toml").is_file())
}

/// Proves the content of stages.
///
/// # Errors
///
/// Where the proof can't be tried: the folder can't be written, a mistake's edit
/// does not fit. What is wrong with the content is in the report.
pub async fn verify(order: &Order, tell: &(dyn Fn(Step<'_>) + Sync)) -> anyhow::Result<Report> {
    let guide = content::guide();
    let content = order.stages.iter().flat_map(|stage| content::problems(stage, &guide));
    let content = content.chain(content::common_problems()).collect();
    let begun = Instant::now();
    let prepared = prepare(order, tell).await?;
    let build_ms = u64::try_from(begun.elapsed().as_millis())?;
    let plans: Vec<_> = prepared.iter().map(|prepared| prepared.runs(order)).collect();
    let trials = prepared.iter().zip(&plans).flat_map(|(prepared, runs)| prepared.trials(runs));
    let verdicts = judge_all(trials.collect(), order, tell).await?;
    let mut verdicts = verdicts.into_iter();
    let mut stages = Vec::new();
    for (prepared, runs) in prepared.into_iter().zip(plans) {
        let verdicts: Vec<_> = verdicts.by_ref().take(runs.len()).collect();
        stages.push(prepared.report(&runs, &verdicts));
    }
    Ok(Report { seed: order.seed, seeds: order.seeds, content, build_ms, stages })
}

/// A stage with its programs, built.
struct Prepared {
    stage: &'static Stage,
    lesson: &'static Lesson,
    variants: Vec<Variant>,
    built: Built,
}

/// One run of a variant.
struct Run {
    variant: usize,
    seed: u64,
    /// Whether it was judged with this seed before.
    again: bool,
}

async fn prepare(order: &Order, tell: &(dyn Fn(Step<'_>) + Sync)) -> anyhow::Result<Vec<Prepared>> {
    let mut stages = Vec::new();
    for stage in &order.stages {
        let lesson = lesson::all().iter().find(|lesson| lesson.id() == stage.id);
        let lesson = lesson.with_context(|| format!("{}: there is no lesson", stage.id))?;
        stages.push((*stage, lesson, variant::variants(lesson)?));
    }
    let sources: Vec<_> = stages.iter().map(|(stage, _, all)| (stage.id, &all[..])).collect();
    let project = Project::write(&order.folder, &sources)?;
    let built = project.build(&sources, tell).await?;
    let prepared = stages
        .into_iter()
        .zip(built)
        .map(|((stage, lesson, variants), built)| Prepared { stage, lesson, variants, built });
    Ok(prepared.collect())
}

// === impl Prepared ===

impl Prepared {
    /// Every run that proves something.
    fn runs(&self, order: &Order) -> Vec<Run> {
        if self.built.programs.is_err() {
            return Vec::new();
        }
        let mut runs = Vec::new();
        let mut checks_seen = BTreeSet::new();
        for (number, variant) in self.variants.iter().enumerate() {
            let seeds = if variant.sees_the_seed() { order.seeds } else { 1 };
            let seeds = order.seed..order.seed + seeds;
            runs.extend(seeds.map(|seed| Run { variant: number, seed, again: false }));
            // The solution, and a mistake of each check: all that a seed decides. Of a whole
            // stage that stage shows it.
            let again = match &variant.wanted {
                Wanted::Pass => variant.kind == Kind::Solution,
                Wanted::Fail { check, .. } => {
                    variant.sees_the_seed()
                        && stages::stage(check).is_none()
                        && checks_seen.insert(check.clone())
                }
                Wanted::Unfinished | Wanted::NoBackend => false,
            };
            if again {
                runs.push(Run { variant: number, seed: order.seed, again });
            }
        }
        runs
    }

    fn trials(&self, runs: &[Run]) -> Vec<Trial> {
        let Ok(programs) = &self.built.programs else { return Vec::new() };
        runs.iter().map(|run| self.trial(programs, run.variant, run.seed)).collect()
    }

    /// A variant, by its number, to be judged with a seed.
    fn trial(&self, programs: &[PathBuf], number: usize, seed: u64) -> Trial {
        let variant = &self.variants[number];
        let lane = match (variant.is_busy(), variant.is_waited_for()) {
            (true, _) => Lane::Busy,
            (false, true) => Lane::Idle,
            (false, false) => Lane::Working,
        };
        let only = variant.only_check(self.stage).map(str::to_owned);
        Trial { stage: self.stage, program: programs[number].clone(), seed, lane, only }
    }

    /// What the verdicts of these runs come to.
    fn report(self, runs: &[Run], verdicts: &[Verdict]) -> StageReport {
        if let Err(why) = self.built.programs {
            return StageReport::unbuilt(self.stage, why);
        }
        let texts: BTreeSet<_> =
            verdicts.iter().flat_map(|verdict| told::problems(self.lesson, verdict)).collect();
        let checks = verdicts.iter().flat_map(|verdict| &verdict.checks);
        let met: BTreeSet<_> = checks.filter_map(|c| c.diagnosis()).map(|found| found.id).collect();
        let declared = self.stage.checks.iter().flat_map(|check| check.diagnoses).copied();

        let mut twice = 0;
        let mut twice_and_different = Vec::new();
        let mut variants = Vec::new();
        for (number, variant) in self.variants.iter().enumerate() {
            let of_it = || runs.iter().zip(verdicts).filter(|(run, _)| run.variant == number);
            let first: Vec<_> =
                of_it().filter(|(run, _)| !run.again).map(|(_, verdict)| verdict).collect();
            for (_, again) in of_it().filter(|(run, _)| run.again) {
                twice += 1;
                let difference = first.first().and_then(|first| difference(first, again));
                twice_and_different.extend(difference.map(|difference| {
                    format!("{variant}, seed {}, judged twice: {difference}", again.seed)
                }));
            }
            variants.push(Row::new(self.stage, variant, &first));
        }
        StageReport {
            stage: self.stage.id,
            problems: self.built.warnings.into_iter().chain(texts).collect(),
            variants,
            twice,
            twice_and_different,
            never_met: declared.filter(|id| !met.contains(id)).collect(),
        }
    }
}

/// Where two verdicts of one program and one seed part: in what was planned, or
/// in what was found. A machine too slow to tell parts none.
fn difference(one: &Verdict, other: &Verdict) -> Option<String> {
    for (one, other) in one.checks.iter().zip(&other.checks) {
        if [one, other].iter().any(|check| check.state() == State::Inconclusive) {
            continue;
        }
        let found =
            |check: &CheckVerdict| check.diagnosis().map_or("passes", |diagnosis| diagnosis.id);
        if found(one) != found(other) {
            return Some(format!("{}: {}, then {}", one.id, found(one), found(other)));
        }
        if one.plan != other.plan {
            let at = one.plan.iter().zip(&other.plan).position(|(one, other)| one != other);
            let at = at.unwrap_or(one.plan.len().min(other.plan.len()));
            let (before, then) = (one.plan.get(at), other.plan.get(at));
            return Some(format!("{} planned {before:?}, then {then:?}", one.id));
        }
    }
    let (ran, then) = (one.checks.len(), other.checks.len());
    (ran != then).then(|| format!("{ran} checks were run, then {then}"))
}

#[cfg(test)]
mod tests;
