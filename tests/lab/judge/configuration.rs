//! The files of the stages from 09 on are `serve`'s own: it passes these stages, and
//! `serve --check` takes every good file that the judge writes and refuses every bad one.

use pingora_lab::judge::stages::{self, STAGES};
use pingora_lab::judge::{Asked, Command, State, Subject, judge_by};
use serde_json::Value;
use tokio::sync::mpsc;

use super::run::{block_on, guard_exe};
use crate::support::Program;

/// `serve` behind `serve --check`. What it says of itself is thrown away after that, so
/// that only `--check` can name the file and the line: a bad file that it let
/// through would be one that nobody complains of. Where files change while it runs, it is
/// `serve` itself that complains. Of an upgrade it hears from its successor, and so needs no SIGQUIT.
fn checked_serve(stage: &str) -> String {
    let program = env!("CARGO_BIN_EXE_pingora-lab");
    let silent = if stage >= "18" { "" } else { " 2>/dev/null" };
    let script = format!(
        "if [ -z \"$LAB_CONFIG\" ]; then\n\
         exec {program} serve --listen \"$LAB_LISTEN\" --backends \"$LAB_BACKENDS\"\n\
         fi\n\
         {program} serve --config \"$LAB_CONFIG\" --check >/dev/null || exit 1\n\
         trap '' QUIT\n\
         exec {program} serve --config \"$LAB_CONFIG\" ${{LAB_UPGRADE:+--upgrade}}{silent}"
    );
    shell_words::join(["sh", "-c", &script])
}

/// How often the judge may say that it could show nothing, on a busy machine.
const TRIES: usize = 3;

fn judged(stage: &str, seed: &str) -> Value {
    let command = checked_serve(stage);
    let args = ["check", stage, "--seed", seed, "--format", "json", "--cmd", &command];
    for _ in 0..TRIES {
        let (code, stdout, stderr) = Program::run(args);
        let told = serde_json::from_str(&stdout);
        let told = told.unwrap_or_else(|error| panic!("{error}, code {code}: {stdout}{stderr}"));
        if code != 3 {
            return told;
        }
    }
    panic!("{stage}, seed {seed}: nothing is shown");
}

/// The checks that are not passed.
fn failed(told: &Value) -> Vec<&Value> {
    let checks = told["checks"].as_array().expect("checks").iter();
    checks.filter(|check| check["verdict"] != "pass").collect()
}

const GRADUATION: &str = "22-graduation";

#[test]
fn serve_takes_every_good_file_and_refuses_every_bad_one() {
    let stages = STAGES.iter().skip_while(|stage| stage.id != "09-configuration");
    let stages = stages.filter(|stage| stage.id != GRADUATION);
    for (stage, seed) in stages.flat_map(|stage| ["1", "2", "3"].map(|seed| (stage, seed))) {
        let told = judged(stage.id, seed);
        let run = format!("{}, seed {seed}", stage.id);
        assert_eq!(failed(&told), [&Value::Null; 0], "{run}");
        let count = told["checks"].as_array().map_or(0, Vec::len);
        assert_eq!(count, stage.checks.len(), "{run}: {told:#}");
    }
}

/// What graduates are compared with would graduate; its other stages are judged above.
#[test]
fn serve_stands_up_to_faults_and_to_itself() {
    let graduation = stages::stage(GRADUATION).expect("a stage");
    let command = shell_words::split(&checked_serve(GRADUATION)).expect("words");
    let subject = Subject {
        guard: guard_exe().to_owned(),
        command: Command::Program(command),
        cwd: std::env::temp_dir(),
    };
    for only in ["under-faults", "performance"] {
        let judged = || {
            let asked = Asked {
                stage: graduation,
                written_for: graduation.id,
                only: Some(only.to_owned()),
            };
            let (progress, _) = mpsc::unbounded_channel();
            block_on(judge_by(asked, &subject, 1, &progress))
        };
        let mut verdicts = (0..TRIES).map(|_| judged());
        let verdict = verdicts.find(|verdict| verdict.state() != State::Inconclusive);
        let verdict = verdict.unwrap_or_else(|| panic!("{only}: nothing is shown"));
        assert_eq!(verdict.state(), State::Pass, "{:?}", verdict.first_finding());
        assert_eq!(verdict.checks.last().map(|check| check.id), Some(only));
    }
}
