//! What a learner would be told of a verdict: every finding has a text, and the
//! text's placeholders are among the evidence.

use serde_json::Map;

use crate::course::lesson::{Lesson, fill_all};
use crate::judge::{Diagnosis, Verdict};
use crate::language::Language;

/// What is missing in the texts for a verdict's findings, one thing a line.
pub fn problems(lesson: &Lesson, verdict: &Verdict) -> Vec<String> {
    let found = verdict.checks.iter().filter_map(|check| Some((check.id, check.diagnosis()?)));
    found.flat_map(|(check, diagnosis)| of_one(lesson, check, diagnosis)).collect()
}

fn of_one(lesson: &Lesson, check: &str, found: &Diagnosis) -> Vec<String> {
    let (stage, id) = (lesson.id(), found.id);
    let Some(text) = lesson.diagnosis(check, id) else {
        return vec![format!("{stage}: {check}: there is no text for {id}")];
    };
    let facts = found.evidence.facts();
    let facts: Map<_, _> = facts.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let parts = [("what", &text.what), ("why", &text.why), ("next", &text.next)];
    let texts = parts.into_iter().flat_map(|(part, both)| {
        [Language::En, Language::Zh].map(|language| (part, both.in_(language)))
    });
    let missing = texts.filter_map(|(part, text)| {
        let error = fill_all(text, &facts).err()?;
        Some(format!("{stage}: {check}: {id}: its `{part}` is told without: {error}"))
    });
    let mut missing: Vec<_> = missing.collect();
    // Both languages lack the same.
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::course::lesson;
    use crate::judge::{CheckVerdict, Evidence};

    #[test]
    fn a_finding_without_a_text_is_told() {
        let finding = Some(Diagnosis::new("never-heard-of").fail());
        let took = Duration::ZERO;
        let (plan, figures) = (Vec::new(), Evidence::default());
        let checks = vec![CheckVerdict { id: "starts", finding, plan, figures, took }];
        let verdict = Verdict { stage: "01-first-proxy", seed: 1, checks, not_run: vec![], took };
        assert_eq!(
            problems(&lesson::all()[0], &verdict),
            ["01-first-proxy: starts: there is no text for never-heard-of"]
        );
    }
}
