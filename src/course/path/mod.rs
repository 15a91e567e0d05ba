//! The path through the course: what is passed, what is at hand, what is left.

mod told;

pub use told::{json, lines};

use super::lesson::{self, Lesson};
use super::progress::{Pass, Progress};

/// The whole path, as far as one learner has come.
#[derive(Clone, Debug)]
pub struct Path {
    /// Every stage, in the order of the course.
    pub stages: Vec<Step>,
    /// What to do next.
    pub next: Next,
}

/// One stage of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The stage.
    pub lesson: &'static Lesson,
    /// How it was passed, if it was.
    pub pass: Option<Pass>,
    /// Whether it is the one at hand.
    pub current: bool,
}

/// What a learner does next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// There is no workspace yet.
    Begin,
    /// The stage at hand is not passed.
    Pass(&'static Lesson),
    /// It is passed, and the one behind it is not.
    GoOn(&'static Lesson),
    /// It is passed, and so is the one behind it, if there is one.
    Return(&'static Lesson),
    /// Every stage is passed.
    Done,
}

/// The stage that is worked on: the one chosen, else the first that is not passed,
/// else the last.
pub fn current(progress: &Progress) -> Option<&'static Lesson> {
    let chosen = progress.current.as_deref().and_then(lesson::find);
    let open = || lesson::all().iter().find(|lesson| !progress.has_passed(lesson.id()));
    chosen.or_else(open).or_else(|| lesson::all().last())
}

// === impl Path ===

impl Path {
    /// The path of somebody who has come so far; of one without a workspace, who has
    /// come nowhere.
    pub fn new(progress: Option<&Progress>) -> Self {
        let current = progress.and_then(current);
        let step = |lesson: &'static Lesson| Step {
            lesson,
            pass: progress.and_then(|progress| progress.passed.get(lesson.id())).cloned(),
            current: current.is_some_and(|current| current.id() == lesson.id()),
        };
        let stages: Vec<_> = lesson::all().iter().map(step).collect();
        Self { next: next(&stages), stages }
    }

    /// The stage at hand, if there is a workspace.
    pub fn current(&self) -> Option<&'static Lesson> {
        self.stages.iter().find(|step| step.current).map(|step| step.lesson)
    }

    /// How many stages are passed.
    pub fn passed(&self) -> usize {
        self.stages.iter().filter(|step| step.pass.is_some()).count()
    }

    /// How long the stages that are not passed take, by their lessons' estimates.
    pub fn minutes_left(&self) -> u32 {
        let open = self.stages.iter().filter(|step| step.pass.is_none());
        open.map(|step| step.lesson.minutes).sum()
    }
}

fn next(stages: &[Step]) -> Next {
    let Some(at) = stages.iter().position(|step| step.current) else { return Next::Begin };
    let open = |step: &&Step| step.pass.is_none();
    let (before, from) = stages.split_at(at);
    match from {
        [here, ..] if here.pass.is_none() => Next::Pass(here.lesson),
        [_, behind, ..] if behind.pass.is_none() => Next::GoOn(behind.lesson),
        // First what lies ahead, then what was left out.
        _ => from
            .iter()
            .chain(before)
            .find(open)
            .map_or(Next::Done, |step| Next::Return(step.lesson)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// What is next for one who has passed these stages and is at this one.
    fn next(passed: &[&str], at: &str) -> Next {
        let mut progress = Progress::default();
        progress.current = Some(at.to_owned());
        passed.iter().for_each(|stage| progress.pass(stage, 1, Timestamp::UNIX_EPOCH));
        Path::new(Some(&progress)).next
    }

    #[test]
    fn what_is_next_depends_on_what_is_passed_and_where_one_is() {
        let ids: Vec<_> = lesson::all().iter().map(Lesson::id).collect();
        let (first, second, third) = (ids[0], ids[1], ids[2]);
        let last = ids[ids.len() - 1];
        assert!(matches!(Path::new(None).next, Next::Begin));
        assert!(matches!(next(&[], first), Next::Pass(l) if l.id() == first));
        assert!(matches!(next(&[first], first), Next::GoOn(l) if l.id() == second));
        assert!(matches!(next(&[first, second], first), Next::Return(l) if l.id() == third));
        assert!(matches!(next(&[last], last), Next::Return(l) if l.id() == first));
        assert!(matches!(next(&ids, second), Next::Done));
    }

    #[test]
    fn what_is_left_is_what_is_not_passed() {
        let mut progress = Progress::default();
        let all: u32 = lesson::all().iter().map(|lesson| lesson.minutes).sum();
        assert_eq!(Path::new(Some(&progress)).minutes_left(), all);
        let first = &lesson::all()[0];
        progress.pass(first.id(), 1, Timestamp::UNIX_EPOCH);
        // A newer version's.
        progress.pass("99-later", 1, Timestamp::UNIX_EPOCH);
        let path = Path::new(Some(&progress));
        assert_eq!((path.passed(), path.minutes_left()), (1, all - first.minutes));
        assert_eq!(path.current().map(Lesson::id), Some(lesson::all()[1].id()));
    }
}
