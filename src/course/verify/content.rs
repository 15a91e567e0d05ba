//! What must hold of a stage's content before anything is built: its judge, its
//! lesson and the guide speak of the same checks and diagnoses.

use unicode_width::UnicodeWidthStr;

use super::variant;
use crate::course::lesson::{self, Lesson};
use crate::course::workspace::template;
use crate::judge::{COMMON_DIAGNOSES, Check, Stage};
use crate::language::Language;

/// A stage has at least so many mistakes that are found and named.
const MISTAKES: usize = 8;

/// And so many right solutions besides its own.
const ALTERNATIVES: usize = 2;

/// How many columns a check's title may take.
const TITLE_COLUMNS: usize = 60;

/// The course's guide, with a box for each check.
pub fn guide() -> String {
    template::guide(Language::Zh)
}

/// What is wrong with the texts that all stages share, one thing a line.
pub fn common_problems() -> Vec<String> {
    let texts: Vec<_> = lesson::common_diagnoses().collect();
    differences("lessons/common.toml", &texts, COMMON_DIAGNOSES)
}

/// What is wrong with a stage's content, one thing a line.
pub fn problems(stage: &Stage, guide: &str) -> Vec<String> {
    let Some(lesson) = lesson::all().iter().find(|lesson| lesson.id() == stage.id) else {
        return vec![format!("{}: there is no lesson", stage.id)];
    };
    let found = [checks(stage, lesson), boxes(lesson, guide), diagnoses(stage, lesson)];
    let found = found.into_iter().flatten().chain(variants(stage, lesson));
    found.map(|problem| format!("{}: {problem}", stage.id)).collect()
}

/// The judge's checks are the lesson's.
fn checks(stage: &Stage, lesson: &Lesson) -> Vec<String> {
    let judged: Vec<_> = stage.checks.iter().map(|check| check.id).collect();
    let told: Vec<_> = lesson.checks.iter().map(|check| check.id.as_str()).collect();
    let mut problems = Vec::new();
    if judged != told {
        let (judged, told) = (judged.join(", "), told.join(", "));
        problems.push(format!("the judge has the checks {judged}; lesson.toml has {told}"));
    }
    for check in &lesson.checks {
        for title in [&check.title.en, &check.title.zh] {
            if title.width() > TITLE_COLUMNS {
                problems.push(format!("the title of {} is {} wide", check.id, title.width()));
            }
        }
    }
    problems
}

/// The guide has a box for each check, with the lesson's Chinese title.
fn boxes(lesson: &Lesson, guide: &str) -> Vec<String> {
    let number = lesson.id().split('-').next().unwrap_or_default();
    let heading = format!("## {number} ");
    let part = guide.lines().skip_while(|line| !line.starts_with(&heading)).skip(1);
    let part = part.take_while(|line| !line.starts_with("# ") && !line.starts_with("## "));
    let boxes: Vec<_> = part.filter(|line| line.starts_with("- [")).collect();
    let line = |check: &lesson::CheckText| format!("- [ ] `{}` {}", check.id, check.title.zh);
    let wanted: Vec<_> = lesson.checks.iter().map(line).collect();
    if boxes == wanted {
        return Vec::new();
    }
    let (boxes, wanted) = (boxes.join("\n  "), wanted.join("\n  "));
    vec![format!("TODO.md has\n  {boxes}\n where lesson.toml's titles ask for\n  {wanted}")]
}

/// What the judge can say of this stage has a text, and the other way round.
fn diagnoses(stage: &Stage, lesson: &Lesson) -> Vec<String> {
    let declared = stage.checks.iter().flat_map(|check| check.diagnoses);
    let mut declared: Vec<_> = declared.copied().collect();
    // A stage may have words of its own for what every stage can meet.
    declared.retain(|id| !COMMON_DIAGNOSES.contains(id));
    let texts = lesson.diagnoses.keys().map(String::as_str);
    let texts: Vec<_> = texts.filter(|id| !COMMON_DIAGNOSES.contains(id)).collect();
    differences("lesson.toml", &texts, &declared)
}

/// Diagnoses that have no text, and texts that have no diagnosis.
fn differences(file: &str, texts: &[&str], declared: &[&str]) -> Vec<String> {
    let mut missing: Vec<_> = declared.iter().filter(|id| !texts.contains(id)).collect();
    missing.sort_unstable();
    missing.dedup();
    let spare = texts.iter().filter(|id| !declared.contains(id));
    let missing = missing.into_iter().map(|id| format!("{file} has no text for {id}"));
    let spare = spare.map(|id| format!("{file} has a text for {id}, which the judge never says"));
    missing.chain(spare).collect()
}

/// Starter, solution, alternatives and mistakes are what they should be, as far
/// as can be seen without a compiler.
fn variants(stage: &Stage, lesson: &Lesson) -> Vec<String> {
    let (variants, mistakes) = match (variant::variants(lesson), lesson.mistakes()) {
        (Ok(variants), Ok(mistakes)) => (variants, mistakes),
        (Err(error), _) => return vec![format!("{error:#}")],
        (_, Err(error)) => return vec![format!("mistakes.toml: {error}")],
    };
    let mut problems = Vec::new();
    let mut few = |what: &str, count: usize, least: usize| {
        if count < least {
            problems.push(format!("{count} {what}, and {least} are wanted"));
        }
    };
    few("alternatives", lesson.alternatives().len(), ALTERNATIVES);
    few("mistakes", mistakes.len(), MISTAKES);
    for mistake in &mistakes {
        let check = stage.checks.iter().find(|check| check.id == mistake.check);
        let known = |check: &Check| {
            let whole = check.whole_stage().into_iter().flat_map(|stage| stage.checks);
            let all = whole.chain([check]).flat_map(|check| check.diagnoses);
            all.chain(COMMON_DIAGNOSES).any(|id| *id == mistake.diagnosis)
        };
        if !check.is_some_and(known) {
            let (id, check, diagnosis) = (&mistake.id, &mistake.check, &mistake.diagnosis);
            problems.push(format!("mistake {id}: no check says {check}: {diagnosis}"));
        }
    }
    for (number, one) in variants.iter().enumerate() {
        if variants[..number].iter().any(|other| other.module() == one.module()) {
            problems.push(format!("{one} is there twice"));
        }
        if variants[..number].iter().any(|other| other.text == one.text) {
            problems.push(format!("{one} is the same as another"));
        }
        if one.text.contains("crate::") {
            problems.push(format!("{one} speaks of `crate::`, and is only a module here"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::judge::stage::Pace;
    use crate::judge::stages::STAGES;

    #[test]
    fn the_content_of_every_stage_holds_together() {
        let guide = guide();
        let problems = STAGES.iter().flat_map(|stage| problems(stage, &guide));
        let problems: Vec<_> = problems.chain(common_problems()).collect();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    const fn check(id: &'static str, diagnoses: &'static [&'static str]) -> Check {
        Check { id, diagnoses, run: |_| async { Ok(()) }.boxed() }
    }

    /// Another judge than the lesson's.
    const OTHER: Stage = Stage {
        id: "01-first-proxy",
        pace: Pace::SIDE_BY_SIDE,
        checks: &[check("starts", &["not-in-the-lesson"]), check("forwards", &[])],
    };

    #[test]
    fn what_does_not_fit_is_told() {
        let guide = guide().replace("请求与应答逐字节原样转发", "别的说法");
        let problems = problems(&OTHER, &guide).join("\n");
        for part in [
            "01-first-proxy: the judge has the checks starts, forwards; lesson.toml has starts, ",
            "TODO.md has\n  - [ ] `starts`",
            "lesson.toml has no text for not-in-the-lesson",
            "mistake one-at-a-time: no check says parallel: one-at-a-time",
        ] {
            assert!(problems.contains(part), "{part}\n{problems}");
        }
        let stranger = Stage { id: "99-none", checks: &[], pace: Pace::SIDE_BY_SIDE };
        assert_eq!(super::problems(&stranger, ""), ["99-none: there is no lesson"]);
    }

    #[test]
    fn texts_and_diagnoses_are_compared_both_ways() {
        assert_eq!(
            differences("x.toml", &["a", "b"], &["b", "c", "c"]),
            ["x.toml has no text for c", "x.toml has a text for a, which the judge never says"]
        );
    }
}
