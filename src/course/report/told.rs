//! A diagnosis in a person's language.

use serde_json::{Map, Value};

use crate::course::lesson::{self, Lesson, fill, words};
use crate::judge::{CheckVerdict, Diagnosis, Evidence};
use crate::language::Language;

/// The state, the reason, the next step, and the evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What was found.
    pub what: String,
    /// Why it is so.
    pub why: String,
    /// What to do next.
    pub next: String,
    /// The evidence, each fact with what it is.
    pub facts: Vec<(&'static str, String)>,
    /// Commands that show the same by hand.
    pub repeat: Vec<String>,
}

// === impl Told ===

impl Told {
    /// What is told of a check that is not passed; nothing of one that is.
    pub fn of(lesson: &Lesson, check: &CheckVerdict, language: Language) -> Option<Self> {
        let diagnosis = check.diagnosis()?;
        let facts = facts(diagnosis.id, &diagnosis.evidence, language);
        let text = lesson.diagnosis(check.id, diagnosis.id);
        let say = |part: Option<&crate::course::lesson::Both>| {
            part.map_or_else(String::new, |both| fill(both.in_(language), &facts))
        };
        Some(Self {
            // A test holds that every diagnosis has its text.
            what: text.map_or_else(|| diagnosis.id.to_owned(), |text| say(Some(&text.what))),
            why: say(text.map(|text| &text.why)),
            next: say(text.map(|text| &text.next)),
            facts: in_stage(check, diagnosis, language)
                .into_iter()
                .chain(evidence(&facts, language))
                .collect(),
            repeat: diagnosis.repeat.clone(),
        })
    }

    /// The three sentences as one paragraph.
    pub fn paragraph(&self) -> String {
        let parts = [&self.what, &self.why, &self.next];
        let parts: Vec<_> =
            parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
        parts.join(" ")
    }
}

/// What a check has measured, in words; none of one that measures nothing, or did not come
/// to it.
pub fn figures(lesson: &Lesson, check: &CheckVerdict, language: Language) -> Option<String> {
    let text = lesson.check(check.id)?.figures.as_ref()?;
    (!check.figures.is_empty())
        .then(|| fill(text.in_(language), &facts(check.id, &check.figures, language)))
}

/// The facts of a diagnosis, or of what a check has measured, as they are said in a language.
fn facts(of: &str, evidence: &Evidence, language: Language) -> Map<String, Value> {
    let said =
        |(name, value): (&str, &Value)| (name.to_owned(), words::said(of, name, value, language));
    evidence.facts().map(said).collect()
}

/// Which of a whole stage's checks has found it.
fn in_stage(
    check: &CheckVerdict,
    diagnosis: &Diagnosis,
    language: Language,
) -> Option<(&'static str, String)> {
    let id = diagnosis.evidence.get("stage_check")?.as_str()?;
    let title = &lesson::whole(check.id)?.check(id)?.title;
    Some((["check", "检查"][language as usize], format!("{id}: {}", title.in_(language))))
}

/// The facts that are shown beside the sentences, in the order in which they are
/// read.
fn evidence(said: &Map<String, Value>, language: Language) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add = |label: [&'static str; 2], value: String| {
        if !value.is_empty() {
            facts.push((label[language as usize], value));
        }
    };
    let text = |name: &str| match said.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    add(["expected", "期望"], text("expected"));
    add(["actual", "实际"], text("actual"));
    add(["panic", "panic"], text("panic"));
    add(["at", "位置"], text("location"));
    add(["exit", "退出"], text("exit"));
    if let Some(exchange) = said.get("exchange") {
        let sent = exchange["sent"]["request"].as_str().unwrap_or_default();
        add(["sent", "发送"], sent.to_owned());
        let received = exchange["received"].as_array().map_or(&[][..], Vec::as_slice);
        if received.is_empty() {
            let nothing = ["nothing, at any backend", "没有任何后端收到"];
            add(["received", "收到"], nothing[language as usize].to_owned());
        }
        for request in received {
            let words = |name: &str| request[name].as_str().unwrap_or_default();
            add(["received", "收到"], format!("{}: {}", words("backend"), words("request")));
        }
        let answer = &exchange["answer"];
        add(
            ["answer", "应答"],
            match (&answer["status"], answer["trouble"].as_str()) {
                (Value::Number(status), _) => {
                    let body = answer["body"].as_str().unwrap_or_default();
                    format!("{status} {}", words::preview(body, language))
                }
                (_, trouble) => words::text(trouble.unwrap_or_default(), language),
            },
        );
    }
    for line in said.get("output").and_then(Value::as_array).into_iter().flatten() {
        add(["output", "输出"], line.as_str().unwrap_or_default().to_owned());
    }
    facts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_an_answer_only_our_own_words_are_told_in_chinese() {
        let told = |body: &str| {
            let exchange = serde_json::json!({
                "sent": { "request": "GET /" },
                "answer": { "status": 200, "body": body },
            });
            let said = Map::from_iter([("exchange".to_owned(), exchange)]);
            evidence(&said, Language::Zh).pop().expect("the answer comes last")
        };
        let long = format!("{}… (341 bytes)", "the whole answer ".repeat(3));
        let whole = format!("200 {}…（共 341 字节）", "the whole answer ".repeat(3));
        assert_eq!(told(&long), ("应答", whole));
        assert_eq!(told("the whole answer"), ("应答", "200 the whole answer".to_owned()));
    }

    #[test]
    fn what_a_whole_stage_comes_to_is_told_in_that_stages_words() {
        let found = Diagnosis::new("health-check-runs-once").with("stage_check", "checks-repeat");
        let (plan, figures, took) = (Vec::new(), Evidence::default(), Duration::ZERO);
        let check = CheckVerdict {
            id: "03-health-checks",
            finding: Some(found.fail()),
            plan,
            figures,
            took,
        };
        let graduation = lesson::find("22").unwrap();
        let told = Told::of(graduation, &check, Language::En).unwrap();
        let text = lesson::find("3").unwrap().diagnoses.get("health-check-runs-once").unwrap();
        assert_eq!(told.next, text.next.en);
        let title = "checks-repeat: Every backend is checked repeatedly".to_owned();
        assert_eq!(told.facts, [("check", title)]);
    }
}
