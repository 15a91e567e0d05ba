//! What happens to the watch, and what it does about it.

use crate::course::lesson::Lesson;
use crate::course::progress::Progress;
use crate::course::trial::{Event, Report};
use crate::language::Language;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// The stage's code was saved.
    Saved,
    /// Progress was written, perhaps by another command.
    Progress(Progress),
    /// A trial goes on.
    Trial(u64, Event),
    /// A trial has ended.
    Done(u64, Box<Report>),
    /// A stage can't be tried, and why.
    Untried(u64, String),
    /// Something is to be said to the learner.
    Notice(String),
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The hints seen; if they are shown, one more.
    Hint,
    /// To the next stage.
    Next,
    /// To the next stage, with one's own program.
    Keep,
    /// The stages.
    List,
    /// The lesson.
    Lesson,
    /// The reference solution.
    Solution,
    /// The other language.
    Language,
    /// Judge again, with another seed.
    Rerun,
    /// Judge again, with the same seed.
    Repeat,
    /// End.
    Quit,
    /// Choose.
    Enter,
    /// Back to the verdict.
    Back,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the top.
    Home,
    /// To the end.
    End,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// End the trial that runs, if one does, and begin this one.
    Judge(Order),
    /// Keep what was passed.
    Note(Box<Report>),
    /// Keep how many hints of a stage were seen.
    Hints(&'static str, usize),
    /// Keep the language.
    Language(Language),
    /// Make the second stage's program of the first one's.
    Carry(&'static Lesson, &'static Lesson),
    /// Keep the stage at hand.
    Current(&'static str),
    /// End.
    Quit,
}

/// A trial to begin.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Its number.
    pub generation: u64,
    /// The stage.
    pub lesson: &'static Lesson,
    /// What everything is drawn from.
    pub seed: u64,
}
