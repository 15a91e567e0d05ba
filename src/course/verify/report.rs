//! What was found of the course's content.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::figures::Figures;
use super::variant::{Kind, Match, Variant};
use crate::judge::{Finding, Stage, State, Verdict};

/// What was found of all stages.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The first seed.
    pub seed: u64,
    /// How many seeds were used, one after another.
    pub seeds: u64,
    /// What is wrong with the content, seen without building anything.
    pub content: Vec<String>,
    /// How long the build of all took, in milliseconds.
    pub build_ms: u64,
    /// The stages, in the course's order.
    pub stages: Vec<StageReport>,
}

/// What was found of one stage.
#[derive(Debug, Serialize)]
pub struct StageReport {
    /// The stage's id.
    pub stage: &'static str,
    /// What is wrong beyond a single variant: the build, warnings, texts.
    pub problems: Vec<String>,
    /// The variants, in their order.
    pub variants: Vec<Row>,
    /// How often one seed was judged twice.
    pub twice: usize,
    /// Where it did not come to the same.
    pub twice_and_different: Vec<String>,
    /// Diagnoses that the stage's checks declare and that no variant led to.
    pub never_met: Vec<&'static str>,
}

/// What was found of one variant.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The variant.
    pub variant: String,
    #[serde(skip)]
    kind: Kind,
    /// What was to be found.
    pub wanted: String,
    /// What was found, each with the seeds with which it was.
    pub found: Vec<Found>,
    /// The checks' time in the middle, in milliseconds.
    pub p50_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
}

/// One thing found of a variant.
#[derive(Debug, Serialize)]
pub struct Found {
    /// `passes`, or the check and its diagnosis.
    pub what: String,
    /// Whether it is as wanted.
    #[serde(rename = "match")]
    pub matched: Match,
    /// With which seeds.
    pub seeds: Vec<u64>,
    /// What the first of them showed.
    pub evidence: String,
}

/// So many of so many.
struct Of(usize, usize);

// === impl Report ===

impl Report {
    /// Failed where anything is not as it should be; else inconclusive where
    /// anything is.
    pub fn state(&self) -> State {
        let matches = || self.stages.iter().flat_map(StageReport::matches);
        let fine = |matched| matches!(matched, Match::Right | Match::Inconclusive);
        if !self.problems().is_empty() || !matches().all(fine) {
            State::Fail
        } else if matches().any(|matched| matched == Match::Inconclusive) {
            State::Inconclusive
        } else {
            State::Pass
        }
    }

    /// All that is not as it should be, beyond what was found of variants.
    fn problems(&self) -> Vec<&str> {
        let stages = self.stages.iter().flat_map(StageReport::problems);
        self.content.iter().map(String::as_str).chain(stages).collect()
    }

    /// How many runs of these variants match.
    fn runs(&self, kinds: &[Kind], fits: impl Fn(Match) -> bool) -> Of {
        let rows = self.stages.iter().flat_map(|stage| &stage.variants);
        let rows = rows.filter(|row| kinds.contains(&row.kind));
        let found: Vec<_> = rows.flat_map(|row| &row.found).collect();
        let count = |found: &&Found| found.seeds.len();
        let fit = found.iter().filter(|found| fits(found.matched)).map(count).sum();
        Of(fit, found.iter().map(count).sum())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for stage in &self.stages {
            stage.fmt(f)?;
        }
        if !self.content.is_empty() {
            writeln!(f, "content")?;
            for problem in &self.content {
                writeln!(f, "  BAD  {problem}")?;
            }
            writeln!(f)?;
        }
        let right = |matched| matched == Match::Right;
        let fails = |matched| matches!(matched, Match::Right | Match::OtherReason);
        let mistakes = [Kind::Mistake];
        writeln!(
            f,
            "mistakes: {} found, {} with the diagnosis named for them",
            self.runs(&mistakes, fails),
            self.runs(&mistakes, right)
        )?;
        writeln!(f, "programs wrong in every stage: {} found", self.runs(&[Kind::Generic], right))?;
        let solutions = self.runs(&[Kind::Solution, Kind::Alternative], right);
        writeln!(f, "solutions: {solutions} pass")?;
        let starters = self.runs(&[Kind::Starter], right);
        writeln!(f, "starters: {starters} unfinished where they should be")?;
        let twice: usize = self.stages.iter().map(|stage| stage.twice).sum();
        let differ: usize = self.stages.iter().map(|stage| stage.twice_and_different.len()).sum();
        writeln!(f, "one seed judged twice: {} the same", Of(twice - differ, twice))?;
        let last = self.seed + self.seeds.saturating_sub(1);
        let (seconds, problems) = (self.build_ms as f64 / 1000.0, self.problems().len());
        writeln!(f, "seeds: {} to {last}; built in {seconds:.1} s", self.seed)?;
        writeln!(f, "other problems: {problems}")
    }
}

// === impl StageReport ===

impl StageReport {
    /// A stage without a program.
    pub(super) fn unbuilt(stage: &Stage, why: String) -> Self {
        Self {
            stage: stage.id,
            problems: vec![why],
            variants: Vec::new(),
            twice: 0,
            twice_and_different: Vec::new(),
            never_met: Vec::new(),
        }
    }

    fn matches(&self) -> impl Iterator<Item = Match> {
        self.variants.iter().flat_map(|row| &row.found).map(|found| found.matched)
    }

    fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().chain(&self.twice_and_different).map(String::as_str)
    }
}

impl Display for StageReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let heading = |width: usize, name: &'static str| (width.max(name.len()), name);
        let widest = |cell: fn(&Row) -> usize| self.variants.iter().map(cell).max().unwrap_or(0);
        let (one, variant) = heading(widest(|row| row.variant.len()), "VARIANT");
        let (two, wanted) = heading(widest(|row| row.wanted.len()), "WANTED");
        let what = |row: &Row| row.found.iter().map(|found| found.line().len()).max().unwrap_or(0);
        let (three, found) = heading(widest(what), "FOUND");
        writeln!(f, "{}", self.stage)?;
        if !self.variants.is_empty() {
            writeln!(
                f,
                "       {variant:one$}  {wanted:two$}  {found:three$}  {:>6} {:>6}",
                "MS", "MAX"
            )?;
        }
        for row in &self.variants {
            for (number, found) in row.found.iter().enumerate() {
                let mark = match found.matched {
                    Match::Right => "ok",
                    Match::Inconclusive => "?",
                    Match::OtherReason | Match::Wrong => "BAD",
                };
                let line = found.line();
                write!(f, "  {mark:3}  ")?;
                if number == 0 {
                    let (name, wanted, p50, max) =
                        (&row.variant, &row.wanted, row.p50_ms, row.max_ms);
                    writeln!(f, "{name:one$}  {wanted:two$}  {line:three$}  {p50:>6} {max:>6}")?;
                } else {
                    writeln!(f, "{:one$}  {:two$}  {line}", "", "")?;
                }
                if found.matched != Match::Right {
                    writeln!(f, "       seeds {:?}: {}", found.seeds, found.evidence)?;
                }
            }
        }
        for problem in self.problems() {
            writeln!(f, "  BAD  {problem}")?;
        }
        if !self.never_met.is_empty() {
            writeln!(f, "  no variant leads to: {}", self.never_met.join(", "))?;
        }
        writeln!(f)
    }
}

// === impl Row ===

impl Row {
    /// What the verdicts of a variant come to.
    pub(super) fn new(stage: &Stage, variant: &Variant, verdicts: &[&Verdict]) -> Self {
        let mut found: Vec<Found> = Vec::new();
        for verdict in verdicts {
            let (what, matched) = (what(verdict), variant.wanted.compare(stage, verdict));
            let same = |one: &&mut Found| one.what == what && one.matched == matched;
            match found.iter_mut().find(same) {
                Some(same) => same.seeds.push(verdict.seed),
                None => {
                    let (seeds, evidence) = (vec![verdict.seed], evidence(verdict));
                    found.push(Found { what, matched, seeds, evidence });
                }
            }
        }
        // With every seed a starter is unfinished in the same place.
        let failing = |one: &Found| one.matched == Match::Right;
        if variant.kind == Kind::Starter && found.iter().filter(|one| failing(one)).count() > 1 {
            found.iter_mut().for_each(|one| one.matched = Match::OtherReason);
        }
        let figures = Figures::of(verdicts.iter().map(|verdict| verdict.took));
        Self {
            variant: variant.to_string(),
            kind: variant.kind,
            wanted: variant.wanted.to_string(),
            found,
            p50_ms: figures.p50_ms,
            max_ms: figures.max_ms,
        }
    }
}

impl Found {
    fn line(&self) -> String {
        match self.seeds.len() {
            1 => self.what.clone(),
            count => format!("{} ({count} times)", self.what),
        }
    }
}

/// `passes`, or the first check to look at and its diagnosis.
fn what(verdict: &Verdict) -> String {
    let Some(first) = verdict.first_finding() else { return "passes".to_owned() };
    let diagnosis = first.diagnosis().map_or("", |diagnosis| diagnosis.id);
    match first.state() {
        State::Inconclusive => format!("{}: {diagnosis} (inconclusive)", first.id),
        _ => format!("{}: {diagnosis}", first.id),
    }
}

/// What every finding of a verdict rests on, on one line.
pub(super) fn evidence(verdict: &Verdict) -> String {
    let findings = verdict.checks.iter().filter_map(|check| check.finding.as_ref());
    let one = |finding: &Finding| {
        let found = finding.diagnosis();
        let facts: BTreeMap<_, _> =
            found.evidence.facts().filter(|(name, _)| *name != "exchange").collect();
        format!("{} {}", found.id, serde_json::to_string(&facts).unwrap_or_default())
    };
    findings.map(one).collect::<Vec<_>>().join("; ")
}

// === impl Of ===

impl Display for Of {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.0, self.1)
    }
}
