//! What the judge says in the end.

use std::time::Duration;

use serde::Serialize;

use super::diagnosis::{Diagnosis, Evidence, Finding};

/// One of three things that can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does what is asked.
    Pass,
    /// It does not.
    Fail,
    /// Neither could be shown, for a reason that is not the program's.
    Inconclusive,
}

/// What was found of one stage.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The stage's id.
    pub stage: &'static str,
    /// With this number the same run happens again.
    pub seed: u64,
    /// The checks that were run, in the stage's order.
    pub checks: Vec<CheckVerdict>,
    /// The checks that were not run, since the program did not start.
    pub not_run: Vec<&'static str>,
    /// How long the checks took.
    pub took: Duration,
}

/// What was found by one check.
#[derive(Clone, Debug)]
pub struct CheckVerdict {
    /// The check's id.
    pub id: &'static str,
    /// Why it is not passed.
    pub finding: Option<Finding>,
    /// What the check planned to send, in words: the same for the same seed.
    pub plan: Vec<String>,
    /// What the check has measured, where it measures something: another with each run.
    pub figures: Evidence,
    /// How long it took.
    pub took: Duration,
}

// === impl Verdict ===

impl Verdict {
    /// Failed if a check failed; else inconclusive if one was; else passed.
    pub fn state(&self) -> State {
        let states = || self.checks.iter().map(CheckVerdict::state);
        if states().any(|state| state == State::Fail) {
            State::Fail
        } else if !self.not_run.is_empty() || states().any(|state| state == State::Inconclusive) {
            State::Inconclusive
        } else {
            State::Pass
        }
    }

    /// The check to look at first: the first that failed, else the first that
    /// was inconclusive.
    pub fn first_finding(&self) -> Option<&CheckVerdict> {
        let with = |state| self.checks.iter().find(move |check| check.state() == state);
        with(State::Fail).or_else(|| with(State::Inconclusive))
    }
}

// === impl CheckVerdict ===

impl CheckVerdict {
    /// What is said of the check.
    pub fn state(&self) -> State {
        match self.finding {
            None => State::Pass,
            Some(Finding::Fail(_)) => State::Fail,
            Some(Finding::Inconclusive(_)) => State::Inconclusive,
        }
    }

    /// What was found, if it is not passed.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        self.finding.as_ref().map(Finding::diagnosis)
    }
}
