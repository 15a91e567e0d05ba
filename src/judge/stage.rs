//! What a stage asks of a program, as checks.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::diagnosis::Finding;
use super::scene::Scene;
use super::stages;

/// One stage of the course.
#[derive(Debug)]
pub struct Stage {
    /// Its number and name: `01-first-proxy`.
    pub id: &'static str,
    /// In the order in which they are told to the learner. The first is
    /// `starts`: if it fails, nothing else can be said.
    pub checks: &'static [Check],
    /// How its checks are run.
    pub pace: Pace,
}

/// How a stage's checks are run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many at a time.
    pub side_by_side: usize,
    /// All of them have said something by then, whatever the program does.
    pub limit: Duration,
}

/// One thing that a program must do.
#[derive(Debug)]
pub struct Check {
    /// Its name within the stage.
    pub id: &'static str,
    /// The diagnoses that only this check can come to; besides them, every check
    /// can come to those of [`super::COMMON_DIAGNOSES`].
    pub diagnoses: &'static [&'static str],
    /// Looks at a program.
    pub run: for<'a> fn(&'a Scene) -> BoxFuture<'a, Outcome>,
}

// === impl Pace ===

impl Pace {
    /// Most of a check is waiting.
    pub const SIDE_BY_SIDE: Self = Self { side_by_side: 4, limit: Duration::from_secs(14) };
}

// === impl Check ===

impl Check {
    /// The stage all of whose checks this one runs: it bears the stage's id.
    pub fn whole_stage(&self) -> Option<&'static Stage> {
        stages::stage(self.id)
    }
}

/// Passed, or why not.
pub type Outcome = Result<(), Finding>;
