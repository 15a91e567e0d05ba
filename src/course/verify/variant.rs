//! Programs of which it is known beforehand what the judge must say.

use std::fmt;

use anyhow::Context;
use serde::Serialize;

use crate::course::lesson::Lesson;
use crate::judge::{COMMON_DIAGNOSES, CheckVerdict, Stage, State, Verdict};

/// Programs that are wrong in every stage.
const EMPTY_MAIN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/generic/empty-main.rs"));
const ANSWERS_BY_ITSELF: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/generic/answers-by-itself.rs"));
const ENDLESS_LOOP: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/generic/endless-loop.rs"));

/// What is said of a program that answers without asking a backend.
const WITHOUT_BACKEND: &str = "answered-without-backend";

/// And where it should have learnt of its backends by a file.
const FILE_IGNORED: &str = "file-ignored";

/// What is said of a program that runs and does not listen, after ten seconds.
const NEVER_LISTENED: &str = "never-listened";

/// A program, and what the judge must say of it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is.
    pub kind: Kind,
    /// Its name among those of its kind; empty where there is only one.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What the judge must say.
    pub wanted: Wanted,
}

/// What a variant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the learner begins with.
    Starter,
    /// The course's own solution.
    Solution,
    /// Another right solution.
    Alternative,
    /// The solution with a mistake in it.
    Mistake,
    /// A program that is wrong in every stage.
    Generic,
}

/// What the judge must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It passes.
    Pass,
    /// It starts, and then fails: what is new in the stage is not written yet.
    Unfinished,
    /// This check fails, before any other, and this is why.
    Fail {
        /// The check.
        check: String,
        /// The diagnosis.
        diagnosis: String,
    },
    /// It starts, and then a check finds out that no backend was asked: it says
    /// so in these words, or in some that it has for itself alone.
    NoBackend,
}

/// How what was found compares with what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It is what was wanted.
    Right,
    /// It failed as it must, but not there or not for that reason.
    OtherReason,
    /// It is not what was wanted.
    Wrong,
    /// Neither could be shown.
    Inconclusive,
}

/// All variants of a stage, in the order in which they are reported.
///
/// # Errors
///
/// Where `mistakes.toml` or an edit in it is not as it should be.
pub fn variants(lesson: &Lesson) -> anyhow::Result<Vec<Variant>> {
    let one = |kind, name: &str, text: &str, wanted| Variant {
        kind,
        name: name.to_owned(),
        text: text.to_owned(),
        wanted,
    };
    let at_start = |diagnosis: &str| Wanted::fail("starts", diagnosis);
    let mut all = vec![
        one(Kind::Starter, "", lesson.starter(), Wanted::Unfinished),
        one(Kind::Solution, "", lesson.solution(), Wanted::Pass),
    ];
    for other in lesson.alternatives() {
        all.push(one(Kind::Alternative, other.name, other.text, Wanted::Pass));
    }
    let place = || format!("lessons/{}/mistakes.toml", lesson.id());
    for mistake in lesson.mistakes().with_context(place)? {
        let text = mistake.apply(lesson.solution());
        let text = text.with_context(|| format!("{}: {}", place(), mistake.id))?;
        let wanted = Wanted::fail(&mistake.check, &mistake.diagnosis);
        all.push(one(Kind::Mistake, &mistake.id, &text, wanted));
    }
    all.extend([
        one(Kind::Generic, "empty-main", EMPTY_MAIN, at_start("exited-at-once")),
        one(Kind::Generic, "answers-by-itself", ANSWERS_BY_ITSELF, Wanted::NoBackend),
        one(Kind::Generic, "endless-loop", ENDLESS_LOOP, at_start(NEVER_LISTENED)),
    ]);
    Ok(all)
}

// === impl Variant ===

impl Variant {
    /// Its module and its program's name: one of its kind in the stage.
    pub fn module(&self) -> String {
        let name = self.name.replace('-', "_");
        match self.kind {
            Kind::Starter | Kind::Solution => self.kind.to_string(),
            kind => format!("{kind}_{name}"),
        }
    }

    /// Whether the compiler may complain of it: mistakes leave things unused.
    pub fn may_warn(&self) -> bool {
        self.kind == Kind::Mistake
    }

    /// The check behind the first that is enough for it, where the stage asks for whole stages,
    /// which takes a minute: for a mistake its own check, whatever others would have said; for
    /// who answers without a backend that of the first stage.
    pub fn only_check(&self, stage: &Stage) -> Option<&str> {
        let first = stage.checks.iter().find(|check| check.whole_stage().is_some())?.id;
        match &self.wanted {
            Wanted::Pass | Wanted::Unfinished => None,
            Wanted::Fail { check, .. } => Some(check),
            Wanted::NoBackend => Some(first),
        }
    }

    /// Whether it keeps a processor busy for as long as it runs.
    pub fn is_busy(&self) -> bool {
        self.text == ENDLESS_LOOP
    }

    /// Whether the judge has to wait for it as long as it waits for any start.
    pub fn is_waited_for(&self) -> bool {
        matches!(&self.wanted, Wanted::Fail { diagnosis, .. } if diagnosis == NEVER_LISTENED)
    }

    /// Whether the judge's draws make a difference to it. A program that does
    /// not start gets nothing that is drawn.
    pub fn sees_the_seed(&self) -> bool {
        !matches!(&self.wanted, Wanted::Fail { check, .. } if check == "starts")
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => self.kind.fmt(f),
            name => write!(f, "{} {name}", self.kind),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starter => "starter",
            Self::Solution => "solution",
            Self::Alternative => "alternative",
            Self::Mistake => "mistake",
            Self::Generic => "generic",
        })
    }
}

// === impl Wanted ===

impl Wanted {
    fn fail(check: &str, diagnosis: &str) -> Self {
        Self::Fail { check: check.to_owned(), diagnosis: diagnosis.to_owned() }
    }

    /// Compares what was found with it.
    pub fn compare(&self, stage: &Stage, verdict: &Verdict) -> Match {
        let found = match (verdict.state(), verdict.first_finding()) {
            (State::Inconclusive, _) => return Match::Inconclusive,
            (State::Pass, _) | (_, None) => {
                return if *self == Self::Pass { Match::Right } else { Match::Wrong };
            }
            (State::Fail, Some(found)) => found,
        };
        // Only the first can be told for certain: a check before it might have
        // failed, had the machine been quicker.
        if verdict.checks.iter().take_while(|check| check.id != found.id).any(is_inconclusive) {
            return Match::Inconclusive;
        }
        let diagnosis = found.diagnosis().map_or("", |diagnosis| diagnosis.id);
        let right = match self {
            Self::Pass => return Match::Wrong,
            Self::Unfinished => found.id != "starts",
            Self::Fail { check, diagnosis: wanted } => found.id == check && diagnosis == wanted,
            Self::NoBackend => {
                let check = stage.checks.iter().find(|check| check.id == found.id);
                found.id != "starts"
                    && (matches!(diagnosis, WITHOUT_BACKEND | FILE_IGNORED)
                        || check.is_some_and(|check| {
                            check.diagnoses.contains(&diagnosis)
                                && !COMMON_DIAGNOSES.contains(&diagnosis)
                        }))
            }
        };
        if right { Match::Right } else { Match::OtherReason }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("passes"),
            Self::Unfinished => f.write_str("fails, not at starts"),
            Self::Fail { check, diagnosis } => write!(f, "{check}: {diagnosis}"),
            Self::NoBackend => write!(f, "{WITHOUT_BACKEND}, or its like"),
        }
    }
}

fn is_inconclusive(check: &CheckVerdict) -> bool {
    check.state() == State::Inconclusive
}
