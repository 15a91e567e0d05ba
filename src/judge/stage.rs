//! What a stage asks of a program, as checks.

use futures_util::future::BoxFuture;

use super::diagnosis::Finding;
use super::scene::Scene;

/// One stage of the course.
#[derive(Debug)]
pub struct Stage {
    /// Its number and name: `01-first-proxy`.
    pub id: &'static str,
    /// In the order in which they are told to the learner. The first is
    /// `starts`: if it fails, nothing else can be said.
    pub checks: &'static [Check],
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

/// Passed, or why not.
pub type Outcome = Result<(), Finding>;
