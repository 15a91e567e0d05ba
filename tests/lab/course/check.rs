//! `check`: what is built, what is judged, what is said, and how it ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::Program;
use crate::support::lab::{FIRST, Lab, RIGHT, in_folder, relay};

/// `pingora-lab serve`, as a command to judge.
fn serve() -> String {
    let program = env!("CARGO_BIN_EXE_pingora-lab");
    format!("{program} serve --listen {{listen}} --backends {{backends}}")
}

/// Runs `check` outside of any workspace.
fn check(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let args = [&["check", "--lang", "en"], args].concat();
    Program::start_with(args, |command| in_folder(command, folder.path())).finish()
}

fn check_json(args: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = check(&[args, &["--format", "json"]].concat());
    let value = serde_json::from_str(&stdout);
    (code, value.unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}")))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_pass_is_kept_and_ticks_its_boxes() {
    let lab = Lab::new("en");
    lab.save(FIRST, RIGHT);
    let (code, stdout, stderr) = lab.run(["check", "--seed", "7"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("Passed, 5 checks"), "{stdout}");
    assert!(stdout.contains("pingora-lab solution 01-first-proxy"), "{stdout}");
    assert!(stdout.contains("pingora-lab next"), "{stdout}");
    let guide = lab.read("TODO.md");
    assert_eq!(guide.matches("- [x]").count(), 5, "{guide}");
    let progress: Value = serde_json::from_str(&lab.read(".lab/progress.json")).unwrap();
    assert_eq!(progress["passed"][FIRST]["seed"], 7, "{progress}");
}

#[test]
fn code_that_does_not_compile_fails_with_the_compilers_words() {
    let lab = Lab::new("en");
    lab.save(FIRST, "fn main() { let port: u16 = \"6188\"; }");
    let (code, stdout, _) = lab.run(["check"]);
    assert_eq!(code, 1);
    for part in ["mismatched types", "main.rs:1:"] {
        assert!(stdout.contains(part), "{part}\n{stdout}");
    }
    let (code, value) = lab.json(["check", "--format", "json"]);
    assert_eq!((code, &value["verdict"]), (1, &json!("fail")), "{value}");
    assert_eq!(value["checks"], json!([]), "{value}");
    assert!(value["build"]["compiler"][0].as_str().unwrap().contains("mismatched types"));
    assert!(lab.read("TODO.md").contains("- [ ]") && !lab.read("TODO.md").contains("- [x]"));
}

#[test]
fn a_build_that_cannot_be_made_blames_nobody() {
    let lab = Lab::new("en");
    let program = Program::start_with(["check"], |command| {
        in_folder(command, &lab.path(""));
        command.env("PATH", "/nowhere");
    });
    let (code, stdout, _) = program.finish();
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("cargo"), "{stdout}");
}

#[test]
fn the_json_of_a_pass_is_as_described() {
    let (code, value) = check_json(&["1", "--seed", "7", "--cmd", relay()]);
    assert_eq!(code, 0, "{value:#}");
    let wanted = ["checks", "not_run", "seed", "stage", "timings_ms", "verdict"];
    assert_eq!(keys(&value), wanted.into());
    assert_eq!(value["stage"], "01-first-proxy");
    assert_eq!(value["verdict"], "pass");
    assert_eq!(value["seed"], 7);
    assert_eq!(keys(&value["timings_ms"]), ["build", "checks"].into());
    assert!(value["timings_ms"]["checks"].as_u64().unwrap() > 0);
    let ids: Vec<_> = value["checks"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, ["starts", "forwards", "large-bodies", "dead-backend", "parallel"]);
    for check in value["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "pass");
        assert_eq!(check["diagnosis"], Value::Null);
    }
}

#[test]
fn the_json_of_a_failure_says_what_and_why() {
    let (code, value) = check_json(&["1", "--seed", "7", "--cmd", "sh -c 'exit 5'"]);
    assert_eq!((code, &value["verdict"]), (1, &json!("fail")), "{value:#}");
    let check = &value["checks"][0];
    assert_eq!(check["id"], "starts");
    assert_eq!(check["diagnosis"], "exited-at-once");
    assert_eq!(check["evidence"]["exit"], "exit code 5", "{check:#}");
    assert!(check["message"].as_str().unwrap().contains("exit code 5"), "{check:#}");
    assert_eq!(value["not_run"], json!(["forwards", "large-bodies", "dead-backend", "parallel"]));
}

#[test]
fn a_verdict_that_cannot_be_written_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["check", "1", "--format", "json", "--lang", "en", "--cmd", relay()];
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut program = Program::start_with(args, |command| {
        in_folder(command, folder.path());
        command.stdout(full);
    });
    program.stderr_line(|line| line.contains("the verdict cannot be written").then_some(()));
    assert_eq!(program.wait().code(), Some(1));
}

/// The example of the contract in `docs/course.md` is what one gets.
#[test]
fn the_documents_example_is_true() {
    let text = include_str!("../../../docs/course.md");
    let (_, example) = text.split_once("```json\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let example: Value = serde_json::from_str(example).expect("JSON");
    let (_, value) = check_json(&["1", "--seed", "7", "--cmd", "sh -c 'exit 5'"]);
    assert_eq!(keys(&example), keys(&value));
    for key in ["stage", "verdict", "seed", "not_run"] {
        assert_eq!(example[key], value[key], "{key}");
    }
    let (example, value) = (&example["checks"][0], &value["checks"][0]);
    assert_eq!(keys(example), keys(value));
    for key in ["id", "verdict", "diagnosis", "evidence"] {
        assert_eq!(example[key], value[key], "{key}");
    }
    let message = example["message"].as_str().unwrap().trim_end_matches(" …");
    assert!(value["message"].as_str().unwrap().starts_with(message), "{value:#}");
}

#[test]
fn all_stages_are_a_list() {
    let (code, value) = check_json(&["all", "--cmd", "false"]);
    assert_eq!(code, 1);
    let stages: Vec<_> = value.as_array().unwrap().iter().map(|one| &one["stage"]).collect();
    assert_eq!(stages.first().unwrap().as_str(), Some("01-first-proxy"));
    assert_eq!(stages.last().unwrap().as_str(), Some("22-graduation"));
    assert_eq!(stages.len(), 20, "{stages:?}");
}

#[test]
fn the_same_seed_finds_the_same_with_the_same_requests() {
    let run = |seed: &str| check_json(&["4", "--seed", seed, "--cmd", &serve()]).1;
    let (one, again, other) = (run("11"), run("11"), run("12"));
    // `Host` has the port, which is whichever was free.
    let exchange = |value: &Value| value["checks"][1]["evidence"]["exchange"].clone();
    let sent = |value: &Value| exchange(value)["sent"]["request"].clone();
    assert_eq!(one["checks"][1]["diagnosis"], "header-wrong-value", "{one:#}");
    assert!(sent(&one).is_string(), "{one:#}");
    assert_eq!(sent(&one), sent(&again));
    assert_ne!(sent(&one), sent(&other), "another seed, another request");
    let diagnoses = |value: &Value| {
        let checks = value["checks"].as_array().unwrap().iter();
        checks.map(|c| (c["id"].clone(), c["diagnosis"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(diagnoses(&one), diagnoses(&again));
}

#[test]
fn a_failure_is_told_with_the_way_to_see_it_again() {
    let (code, stdout, _) = check(&["4", "--seed", "11", "--cmd", &serve()]);
    assert_eq!(code, 1);
    assert!(stdout.contains("curl -i http://127.0.0.1:6188/"), "{stdout}");
    let again = format!("pingora-lab check 04-request-headers --seed 11 --cmd '{}'", serve());
    assert!(stdout.contains(&again), "{again}\n{stdout}");
}

#[test]
fn what_makes_no_sense_is_usage() {
    for (args, part) in [
        (&["1", "--cmd", "x {nothing}"][..], "{nothing}"),
        (&["1", "--cmd", ""], "empty"),
        (&["1", "--cmd", "x 'y"], "quote"),
        (&["--cmd", "x"], "needs a stage"),
        (&["99", "--cmd", "x"], "there is no stage"),
        (&["1", "--seed", "x", "--cmd", "x"], "--seed"),
        (&["1", "--format", "xml", "--cmd", "x"], "xml"),
    ] {
        let (code, stdout, stderr) = check(args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    }
}

#[test]
fn both_languages_say_it_and_a_pipe_has_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    for (language, title) in [("en", "Starts and listens"), ("zh", "程序启动，并在")] {
        let args = ["check", "1", "--lang", language, "--cmd", "false"];
        let (code, stdout, _) =
            Program::start_with(args, |command| in_folder(command, folder.path())).finish();
        assert_eq!(code, 1);
        assert!(stdout.contains(title), "{stdout}");
        assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
    }
}
