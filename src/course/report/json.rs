//! A report as JSON: a contract, described in `docs/course.md`.

use serde_json::{Value, json};

use super::Told;
use crate::course::trial::{Outcome, Report};
use crate::judge::CheckVerdict;
use crate::language::Language;

/// The report as one JSON object.
pub fn json(report: &Report, language: Language) -> Value {
    let milliseconds = |duration: std::time::Duration| duration.as_millis() as u64;
    let mut object = json!({
        "stage": report.lesson.id(),
        "verdict": report.state(),
        "seed": report.seed,
        "checks": [],
        "timings_ms": { "build": milliseconds(report.build), "checks": 0 },
    });
    match &report.result {
        Outcome::Judged(verdict) => {
            let checks = verdict.checks.iter().map(|check| check_json(report, check, language));
            object["checks"] = checks.collect();
            object["not_run"] = json!(verdict.not_run);
            object["timings_ms"]["checks"] = json!(milliseconds(verdict.took));
        }
        Outcome::NotBuilt(failure, said) => {
            let rendered: Vec<_> = said.iter().map(|diagnostic| &diagnostic.rendered).collect();
            object["build"] = json!({
                "message": failure.explain(language),
                "detail": failure.detail,
                "compiler": rendered,
            });
        }
    }
    object
}

fn check_json(report: &Report, check: &CheckVerdict, language: Language) -> Value {
    let told = Told::of(report.lesson, check, language);
    let diagnosis = check.diagnosis();
    json!({
        "id": check.id,
        "verdict": check.state(),
        "diagnosis": diagnosis.map(|diagnosis| diagnosis.id),
        "evidence": diagnosis.map_or_else(|| json!({}), |diagnosis| json!(diagnosis.evidence)),
        "message": told.as_ref().map_or_else(String::new, Told::paragraph),
        "repeat": told.map_or_else(Vec::new, |told| told.repeat),
        "figures": check.figures,
    })
}
