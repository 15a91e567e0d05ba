use super::*;
use crate::course::build::{Failure, Trouble};
use crate::course::lesson;
use crate::course::trial::sample::report;
use crate::judge::{Diagnosis, Finding};

fn setting() -> Setting {
    Setting { pingora: Some("0.9.1".to_owned()), rustc: None, ..Setting::now(None) }
}

fn written(reports: &[Report], language: Language) -> String {
    proof(reports, &setting(), language, "pingora-lab")
}

#[test]
fn what_was_proved_is_told_with_all_that_makes_it_again() {
    let [first, second] = [&lesson::all()[0], &lesson::all()[1]];
    let reports = [report(first, None), report(second, Some("spread-parallel"))];
    for (language, parts) in [
        (Language::En, ["1 of 2 stages passed", "✓ pass", "✗ fail", "not known"]),
        (Language::Zh, ["2 个阶段，通过 1 个", "✓ 通过", "✗ 未通过", "未知"]),
    ] {
        let text = written(&reports, language);
        let year = setting().when.year().to_string();
        let own = ["pingora | 0.9.1", env!("CARGO_PKG_VERSION"), "CPU", &year];
        let again = ["check 01-first-proxy --seed 7", "check 02-round-robin --seed 7"];
        for part in parts.iter().chain(&own).chain(&again) {
            assert!(text.contains(part), "{part}\n{text}");
        }
        for lesson in [first, second] {
            for check in &lesson.checks {
                let row = format!("| `{}` {} | ", check.id, check.title.in_(language));
                assert!(text.contains(&row), "{row}\n{text}");
            }
        }
        assert!(text.contains("`spread-parallel`: `status-changed`"), "{text}");
    }
}

#[test]
fn what_a_program_says_cannot_leave_its_place() {
    let lesson = &lesson::all()[0];
    let mut report = report(lesson, None);
    let Outcome::Judged(verdict) = &mut report.result else { panic!("judged") };
    let said = "\u{1b}[31m```\n# a heading\r\u{7}";
    let found: Finding = Diagnosis::new("exited-at-once").with("output", vec![said]).fail();
    verdict.checks[0].finding = Some(found);
    let text = written(&[report], Language::En);
    assert!(text.contains("    output: ```\n    # a heading\\r\\u{7}\n"), "{text}");
    let marked = Report { command: Some("a `b` | c".to_owned()), ..self::report(lesson, None) };
    let text = written(&[marked], Language::En);
    assert!(text.contains("| judged | `` a `b` \\| c `` |"), "{text}");
    assert!(!text.contains("rustc"), "{text}");
}

#[test]
fn a_stage_that_was_not_built_says_why() {
    let failure = Failure { trouble: Trouble::Offline, detail: "no network".to_owned() };
    let report = Report {
        result: Outcome::NotBuilt(failure, Vec::new()),
        ..report(&lesson::all()[0], None)
    };
    let text = written(&[report], Language::En);
    assert!(text.contains("crates are missing") && text.contains("    no network"), "{text}");
    assert!(text.contains("? inconclusive"), "{text}");
}

#[test]
fn a_path_that_cannot_be_written_is_known_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::write(at("file"), "old").unwrap();
    for path in [at("none/report.md"), at("file/report.md"), at(""), "/dev/null".into(), "".into()]
    {
        let error = ReportFile::new(path.clone()).expect_err(&format!("{path:?}"));
        assert!(error.explain(Language::Zh).contains("请换一个"), "{error}");
    }
    let file = ReportFile::new(at("file")).unwrap();
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "old", "nothing is written yet");
    file.write("new").unwrap();
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "new");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left over");
}
