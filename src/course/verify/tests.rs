use std::time::Duration;

use super::variant::Match;
use super::*;
use crate::judge::{Diagnosis, Evidence, Finding};

/// A verdict of stage 01 with these findings.
fn verdict(findings: &[(&'static str, Option<Finding>)]) -> Verdict {
    let check = |(id, finding): &(&'static str, Option<Finding>)| CheckVerdict {
        id,
        finding: finding.clone(),
        plan: vec!["GET /a".to_owned()],
        figures: Evidence::default(),
        took: Duration::from_millis(2),
    };
    Verdict {
        stage: "01-first-proxy",
        seed: 1,
        checks: findings.iter().map(check).collect(),
        not_run: Vec::new(),
        took: Duration::from_millis(5),
    }
}

fn fails(id: &'static str) -> Option<Finding> {
    Some(Diagnosis::new(id).fail())
}

fn unclear() -> Option<Finding> {
    Some(Diagnosis::new("machine-too-slow").inconclusive())
}

fn stage() -> &'static Stage {
    crate::judge::stages::stage("01-first-proxy").unwrap()
}

#[test]
fn a_verdict_is_compared_with_what_is_wanted() {
    let fail = |check: &str, diagnosis: &str| Wanted::Fail {
        check: check.to_owned(),
        diagnosis: diagnosis.to_owned(),
    };
    let passes = verdict(&[("starts", None), ("forwards", None)]);
    let dead = verdict(&[("starts", fails("exited-at-once"))]);
    let path = verdict(&[("starts", None), ("forwards", fails("path-changed"))]);
    let own = verdict(&[("starts", None), ("dead-backend", fails("stays-dead"))]);
    let shared = verdict(&[("starts", None), ("parallel", fails("answered-without-backend"))]);
    let slow = verdict(&[("starts", None), ("forwards", unclear())]);
    let slow_before =
        verdict(&[("starts", None), ("forwards", unclear()), ("parallel", fails("one-at-a-time"))]);
    let slow_after =
        verdict(&[("starts", None), ("forwards", fails("path-changed")), ("parallel", unclear())]);
    for (number, wanted, found, matched) in [
        (1, Wanted::Pass, &passes, Match::Right),
        (2, Wanted::Pass, &path, Match::Wrong),
        (3, Wanted::Pass, &slow, Match::Inconclusive),
        (4, Wanted::Unfinished, &path, Match::Right),
        (5, Wanted::Unfinished, &dead, Match::OtherReason),
        (6, Wanted::Unfinished, &passes, Match::Wrong),
        (7, fail("forwards", "path-changed"), &path, Match::Right),
        (8, fail("forwards", "path-changed"), &slow_after, Match::Right),
        (9, fail("forwards", "query-changed"), &path, Match::OtherReason),
        (10, fail("parallel", "path-changed"), &path, Match::OtherReason),
        (11, fail("forwards", "path-changed"), &passes, Match::Wrong),
        (12, fail("parallel", "one-at-a-time"), &slow_before, Match::Inconclusive),
        (13, Wanted::NoBackend, &shared, Match::Right),
        (14, Wanted::NoBackend, &own, Match::Right),
        (15, Wanted::NoBackend, &path, Match::OtherReason),
        (16, Wanted::NoBackend, &dead, Match::OtherReason),
        (17, Wanted::NoBackend, &passes, Match::Wrong),
    ] {
        assert_eq!(wanted.compare(stage(), found), matched, "{number}");
    }
}

#[test]
fn one_seed_must_plan_and_find_the_same() {
    let one = verdict(&[("starts", None), ("forwards", fails("path-changed"))]);
    assert_eq!(difference(&one, &one.clone()), None);
    let other = verdict(&[("starts", None), ("forwards", fails("query-changed"))]);
    assert_eq!(
        difference(&one, &other).as_deref(),
        Some("forwards: path-changed, then query-changed")
    );
    let mut planned = one.clone();
    planned.checks[1].plan.push("GET /b".to_owned());
    assert_eq!(
        difference(&one, &planned).as_deref(),
        Some("forwards planned None, then Some(\"GET /b\")")
    );
    let short = verdict(&[("starts", None)]);
    assert_eq!(difference(&one, &short).as_deref(), Some("2 checks were run, then 1"));
}

fn report(kind: Kind, wanted: Wanted, verdicts: &[Verdict]) -> Report {
    let variant = Variant { kind, name: "x".to_owned(), text: String::new(), wanted };
    let row = Row::new(stage(), &variant, &verdicts.iter().collect::<Vec<_>>());
    let stage = StageReport {
        variants: vec![row],
        twice: 2,
        ..StageReport::unbuilt(stage(), String::new())
    };
    let stage = StageReport { problems: Vec::new(), ..stage };
    Report {
        seed: 1,
        seeds: verdicts.len() as u64,
        content: Vec::new(),
        build_ms: 1_200,
        stages: vec![stage],
    }
}

#[test]
fn the_report_counts_and_ends_as_it_must() {
    let path = verdict(&[("starts", None), ("forwards", fails("path-changed"))]);
    let query = verdict(&[("starts", None), ("forwards", fails("query-changed"))]);
    let passes = verdict(&[("starts", None)]);
    let slow = verdict(&[("starts", None), ("forwards", unclear())]);
    let wanted =
        || Wanted::Fail { check: "forwards".to_owned(), diagnosis: "path-changed".to_owned() };

    let good = report(Kind::Mistake, wanted(), &[path.clone(), path.clone()]);
    assert_eq!(good.state(), State::Pass);
    let text = good.to_string();
    assert!(text.contains("mistakes: 2 of 2 found, 2 of 2 with the diagnosis"), "{text}");
    assert!(text.contains("forwards: path-changed (2 times)"), "{text}");
    assert!(text.contains("one seed judged twice: 2 of 2 the same"), "{text}");

    let all = [path.clone(), query.clone(), passes.clone(), slow.clone()];
    let bad = report(Kind::Mistake, wanted(), &all);
    assert_eq!(bad.state(), State::Fail);
    let text = bad.to_string();
    assert!(text.contains("mistakes: 2 of 4 found, 1 of 4 with the diagnosis"), "{text}");

    assert_eq!(report(Kind::Mistake, wanted(), &[path.clone(), slow]).state(), State::Inconclusive);
    // A starter that is unfinished here with one seed and there with another.
    let starter = report(Kind::Starter, Wanted::Unfinished, &[path.clone(), query]);
    assert_eq!(starter.state(), State::Fail);
    assert_eq!(report(Kind::Starter, Wanted::Unfinished, &[path]).state(), State::Pass);
    let mut content = report(Kind::Solution, Wanted::Pass, &[passes]);
    assert_eq!(content.state(), State::Pass);
    content.content.push("01-first-proxy: no text".to_owned());
    assert_eq!(content.state(), State::Fail);
    assert!(content.to_string().contains("BAD  01-first-proxy: no text"));
}

#[test]
fn every_stage_has_variants_with_names_of_their_own() {
    for lesson in lesson::all() {
        let variants = variant::variants(lesson).unwrap();
        let names: BTreeSet<_> = variants.iter().map(Variant::module).collect();
        assert_eq!(names.len(), variants.len(), "{}", lesson.id());
    }
}
