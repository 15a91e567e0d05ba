//! What a learner would be told of a verdict: every finding has a text, the text's placeholders
//! are among the evidence, and a reader of Chinese is told no facts in English words.

use serde_json::{Map, Value};

use crate::course::lesson::{DiagnosisText, Lesson, fill_all, placeholders, words};
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
    missing.extend(in_english(text, found).into_iter().map(|(name, words)| {
        format!("{stage}: {check}: {id}: lessons/words.toml has no Chinese for {name}: {words}")
    }));
    missing
}

/// The facts that a reader of Chinese would be told in English words, by their names.
fn in_english(text: &DiagnosisText, found: &Diagnosis) -> Vec<(String, String)> {
    let texts = [&text.what, &text.why, &text.next];
    let told = texts.into_iter().flat_map(|both| placeholders(&both.zh));
    let mut told: Vec<_> = told.chain(["expected", "actual", "exit"]).collect();
    told.sort_unstable();
    told.dedup();
    let values = |name: &str| match found.evidence.get(name) {
        Some(Value::Array(values)) => values.clone(),
        value => value.cloned().into_iter().collect(),
    };
    let untold = |name: &str| {
        let values = values(name).into_iter();
        let texts = values.filter_map(|value| value.as_str().map(str::to_owned));
        let untold = texts.filter(|text| words::untold(found.id, name, text).is_some());
        untold.map(|text| (name.to_owned(), text)).collect::<Vec<_>>()
    };
    told.into_iter().flat_map(untold).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::course::lesson;
    use crate::judge::{CheckVerdict, Evidence};

    #[test]
    fn facts_without_chinese_are_told() {
        let found = |seen: &str| {
            let found = Diagnosis::new("no-answer").compared("an answer to GET /a", seen);
            of_one(&lesson::all()[0], "starts", &found.with("request", "GET /a").with("status", 1))
        };
        assert_eq!(
            found("a thing unheard of").last().map(String::as_str),
            Some(
                "01-first-proxy: starts: no-answer: lessons/words.toml has no Chinese for \
                 actual: a thing unheard of"
            )
        );
        assert!(!found("no answer within 300 ms").iter().any(|line| line.contains("words.toml")));
    }

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
