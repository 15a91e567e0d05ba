//! `progress`: the path through the course.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::support::Program;
use crate::support::lab::{FIRST, Lab, in_folder};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn it_shows_what_is_passed_where_one_is_and_what_is_next() {
    let lab = Lab::new("en");
    let (_, stdout, _) = lab.run(["progress"]);
    assert!(stdout.contains("0 of ") && stdout.contains("    pingora-lab learn"), "{stdout}");
    lab.pass(FIRST);
    let (_, stdout, _) = lab.run(["progress"]);
    let line = |text: &str, stage: &str| {
        text.lines()
            .find(|line| line.contains(stage))
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned()
    };
    assert!(line(&stdout, FIRST).ends_with(", current"), "{stdout}");
    assert!(line(&stdout, FIRST).contains("passed 20"), "{stdout}");
    assert!(stdout.ends_with("    pingora-lab next"), "{stdout}");
    assert_eq!(lab.run(["next"]).0, 0);
    let (code, stdout, _) = lab.run(["progress"]);
    assert_eq!(code, 0);
    assert!(line(&stdout, FIRST).starts_with("✓ "), "{stdout}");
    assert!(line(&stdout, "02-round-robin").contains("current, about 25 min"), "{stdout}");
    assert!(line(&stdout, "06-failures").contains("open, about 35 min"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "a pipe has no colours: {stdout:?}");
    // By the name that it had before.
    assert_eq!(lab.run(["list"]).1, stdout);
}

#[test]
fn its_json_is_as_described() {
    let lab = Lab::new("en");
    lab.pass(FIRST);
    let (code, path) = lab.json(["progress", "--format", "json"]);
    assert_eq!(code, 0);
    // The example of the contract in `docs/course.md`.
    let text = include_str!("../../../docs/course.md");
    let examples = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<Value> = examples.map(|text| serde_json::from_str(text).unwrap()).collect();
    let example = examples.iter().find(|value| value.get("stages").is_some()).expect("an example");
    assert_eq!(keys(example), keys(&path));
    assert_eq!(keys(&example["next"]), keys(&path["next"]));
    assert_eq!(keys(&example["stages"][0]), keys(&path["stages"][0]));
    assert_eq!(keys(&example["stages"][0]["passed"]), keys(&path["stages"][0]["passed"]));
    assert_eq!(example["stages"][1], path["stages"][1], "what is not passed");
    assert_eq!((&path["current"], &path["passed"]), (&json!(FIRST), &json!(1)));
    assert_eq!(path["next"]["command"], "pingora-lab next");
    let minutes = |stage: &Value| stage["minutes"].as_u64().unwrap();
    let left: u64 = path["stages"].as_array().unwrap()[1..].iter().map(minutes).sum();
    assert_eq!(path["minutes_left"], left);
}

#[test]
fn without_a_workspace_the_path_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        Program::start_with(args, |command: &mut Command| in_folder(command, folder.path()))
            .finish()
    };
    let (code, stdout, _) = run(&["progress", "--lang", "zh"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("第一个代理") && stdout.contains("pingora-lab learn"), "{stdout}");
    // In a pipe it is not wrapped, and its columns line up.
    let column = |line: &str| line.split_once("未通过").map(|(before, _)| before.width());
    let columns: BTreeSet<_> = stdout.lines().filter_map(column).collect();
    assert_eq!(columns.len(), 1, "{stdout}");
    let (_, text, _) = run(&["progress", "--lang", "en", "--format", "json"]);
    let path: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&path["current"], &path["stages"][0]["passed"]), (&Value::Null, &Value::Null));
}
