//! A stage's lesson: its texts in both languages, and its files.
//!
//! What a lesson says is data, under `lessons/`; the program embeds it. The
//! checks themselves are code, in the judge, and know a lesson's checks and
//! diagnoses by their ids alone.

mod embedded;
mod fill;
mod mistake;
mod text;
pub mod words;

pub use embedded::{Alternative, all, common_diagnoses, common_diagnosis, find};
pub use fill::{MissingEvidence, fill, fill_all, placeholders};
pub use mistake::{BadEdit, BadMistakes, Edit, Mistake, NoMistake};
pub use text::{Both, BothLists, CheckText, DiagnosisText};

use std::collections::BTreeMap;

use mistake::Mistakes;
use serde::Deserialize;

/// One stage of the course, as its folder under `lessons/` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// How long it takes somebody who meets it for the first time, in minutes.
    pub minutes: u32,
    /// Whether its program is measured beside `serve`, which is this binary, and so is built
    /// as this binary was.
    #[serde(default)]
    pub beside_serve: bool,
    /// Its name.
    pub title: Both,
    /// What it asks for, in a sentence or two.
    pub goal: Both,
    /// What it teaches.
    pub concepts: BothLists,
    /// What a pass has shown.
    pub proved: Both,
    /// Its checks, in the order in which they are told.
    #[serde(rename = "check")]
    pub checks: Vec<CheckText>,
    /// Its hints, from gentle to nearly the code.
    #[serde(rename = "hint", default)]
    pub hints: Vec<Both>,
    /// What it says to each diagnosis of its own, by the diagnosis's id.
    #[serde(rename = "diagnosis", default)]
    pub diagnoses: BTreeMap<String, DiagnosisText>,
    /// The folder's other files.
    #[serde(skip)]
    files: embedded::Files,
}

impl Lesson {
    /// The stage's id, such as `01-first-proxy`.
    pub fn id(&self) -> &'static str {
        self.files.id
    }

    /// The stage's number, from 1: the digits that its id begins with.
    pub fn number(&self) -> u32 {
        number_of(self.id()).unwrap_or_default()
    }

    /// The lesson to read, in Markdown.
    pub fn readme(&self, language: crate::language::Language) -> &'static str {
        match language {
            crate::language::Language::En => self.files.readme_en,
            crate::language::Language::Zh => self.files.readme_zh,
        }
    }

    /// What a learner begins with: a program that compiles and does not pass.
    pub fn starter(&self) -> &'static str {
        self.files.starter
    }

    /// The program to compare one's own with.
    pub fn solution(&self) -> &'static str {
        self.files.solution
    }

    /// Further right solutions, unlike the first in style.
    pub fn alternatives(&self) -> &'static [Alternative] {
        self.files.alternatives
    }

    /// Mistakes that people make here, each an edit of [`Lesson::solution`]. Those of earlier
    /// stages that are put back come first, in the order of the checks that find them.
    ///
    /// # Errors
    ///
    /// Where `mistakes.toml` is not what it should be: an error of whoever
    /// wrote it, with its line and column.
    pub fn mistakes(&self) -> Result<Vec<Mistake>, BadMistakes> {
        let Mistakes { own, earlier } = mistake::read(self.files.mistakes)?;
        let mut all = Vec::new();
        for earlier in earlier {
            let there = whole(&earlier.stage).map(Self::mistakes).transpose()?;
            all.extend(earlier.of(&there.unwrap_or_default())?);
        }
        all.extend(own);
        Ok(all)
    }

    /// The check of this id.
    pub fn check(&self, id: &str) -> Option<&CheckText> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// What to say to a diagnosis of a check: this stage's own text, that of the stage all of
    /// whose checks the check runs, or the one that all stages share.
    pub fn diagnosis(&self, check: &str, id: &str) -> Option<&DiagnosisText> {
        let of_whole = || whole(check)?.diagnoses.get(id);
        self.diagnoses.get(id).or_else(of_whole).or_else(|| common_diagnosis(id))
    }

    /// The stage behind this one; none behind the last.
    pub fn next(&self) -> Option<&'static Self> {
        all().iter().find(|lesson| lesson.number() > self.number())
    }
}

/// The stage all of whose checks a check runs, as graduation's do: it bears the stage's id.
pub fn whole(check: &str) -> Option<&'static Lesson> {
    all().iter().find(|lesson| lesson.id() == check)
}

/// The number that an id begins with: 1 for `01-first-proxy`.
pub(crate) fn number_of(id: &str) -> Option<u32> {
    id.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_every_stage_are_complete() {
        for lesson in all() {
            let id = lesson.id();
            assert!((5..=240).contains(&lesson.minutes), "{id}: {} minutes", lesson.minutes);
            for both in [&lesson.title, &lesson.goal, &lesson.proved] {
                assert!(both.is_complete(), "{id}: {both:?}");
            }
            let BothLists { en, zh } = &lesson.concepts;
            assert!(!en.is_empty() && en.len() == zh.len(), "{id}: concepts {en:?} {zh:?}");
            assert!(lesson.hints.iter().all(Both::is_complete), "{id}: hints");
            for check in &lesson.checks {
                assert!(check.title.is_complete(), "{id}: {}", check.id);
                assert!(check.figures.iter().all(Both::is_complete), "{id}: {}", check.id);
                let twice = lesson.checks.iter().filter(|other| other.id == check.id).count();
                assert_eq!(twice, 1, "{id}: {} is there twice", check.id);
            }
            assert_eq!(
                lesson.checks.first().map(|check| check.id.as_str()),
                Some("starts"),
                "{id}"
            );
            for (name, text) in &lesson.diagnoses {
                for both in [&text.what, &text.why, &text.next] {
                    assert!(both.is_complete(), "{id}: diagnosis {name}: {both:?}");
                }
            }
        }
    }

    #[test]
    fn both_languages_of_a_diagnosis_use_the_same_evidence() {
        let sorted = |text: &str| {
            let mut names = placeholders(text);
            names.sort_unstable();
            names.dedup();
            names.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        for lesson in all() {
            for (name, text) in &lesson.diagnoses {
                for both in [&text.what, &text.why, &text.next] {
                    assert_eq!(sorted(&both.en), sorted(&both.zh), "{}: {name}", lesson.id());
                }
            }
            for both in lesson.checks.iter().filter_map(|check| check.figures.as_ref()) {
                assert_eq!(sorted(&both.en), sorted(&both.zh), "{}", lesson.id());
            }
        }
    }

    #[test]
    fn stages_are_in_the_order_of_their_numbers() {
        // 20 and 21 have their places, and come later.
        let numbers: Vec<_> = all().iter().map(Lesson::number).collect();
        assert_eq!(numbers, (1..=19).chain([22]).collect::<Vec<_>>());
        let next: Vec<_> = all().iter().map(|one| one.next().map_or(0, Lesson::number)).collect();
        assert_eq!(next, (2..=19).chain([22, 0]).collect::<Vec<_>>());
    }

    #[test]
    fn every_mistake_edits_its_solution_and_names_a_check_of_its_stage() {
        for lesson in all() {
            let mistakes = lesson.mistakes().unwrap_or_else(|e| panic!("{}: {e}", lesson.id()));
            for mistake in mistakes {
                let place = format!("{}: {}", lesson.id(), mistake.id);
                assert!(mistake.about.is_complete(), "{place}");
                assert!(lesson.check(&mistake.check).is_some(), "{place}: {}", mistake.check);
                let changed = mistake.apply(lesson.solution());
                let changed = changed.unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_ne!(changed, lesson.solution(), "{place}");
            }
        }
    }
}
