//! In which of cargo's profiles a stage is built.

use crate::course::lesson;

/// One of cargo's profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For short builds.
    Dev,
    /// For quick programs, which take minutes to build the first time.
    Release,
}

// === impl Profile ===

impl Profile {
    /// That of a stage: all are built for short builds, but for one whose program is measured
    /// beside `serve`, which is this binary. That one is built as this binary was: of an
    /// unoptimised program beside an optimised one no figure says anything.
    pub fn of(stage: &str) -> Self {
        Self::beside(stage, cfg!(debug_assertions))
    }

    fn beside(stage: &str, unoptimised: bool) -> Self {
        let measured = |lesson: &lesson::Lesson| lesson.id() == stage && lesson.beside_serve;
        match !unoptimised && lesson::all().iter().any(measured) {
            true => Self::Release,
            false => Self::Dev,
        }
    }

    /// What cargo is told.
    pub fn argument(self) -> Option<&'static str> {
        (self == Self::Release).then_some("--release")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_measured_beside_an_optimised_serve_is_optimised() {
        let of = |unoptimised| {
            let optimised = |lesson: &&lesson::Lesson| {
                Profile::beside(lesson.id(), unoptimised) == Profile::Release
            };
            lesson::all().iter().filter(optimised).map(lesson::Lesson::id).collect::<Vec<_>>()
        };
        assert_eq!(of(false), ["22-graduation"]);
        assert!(of(true).is_empty());
        assert_eq!(Profile::beside("unknown", false), Profile::Dev);
    }
}
