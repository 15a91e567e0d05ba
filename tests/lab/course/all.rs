//! `check all`, and its report.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Program;
use crate::support::lab::{FIRST, Lab, RIGHT, in_folder};

/// A program that ends at once.
const ENDS: &str = "fn main() { std::process::exit(5) }";

/// A workspace of which the first stage is right, the second does not compile, and
/// the others end at once; and a cargo that notes how it is called.
struct Finished {
    lab: Lab,
    bin: tempfile::TempDir,
}

impl Finished {
    fn new(language: &str) -> Self {
        let lab = Lab::new(language);
        for (stage, text) in stages(&lab).iter().zip([RIGHT, "fn main() { one() }"]) {
            lab.save(stage, text);
        }
        stages(&lab).iter().skip(2).for_each(|stage| lab.save(stage, ENDS));
        let bin = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>'{}'\nPATH='{}' exec cargo \"$@\"\n",
            bin.path().join("calls").display(),
            std::env::var("PATH").unwrap(),
        );
        let cargo = bin.path().join("cargo");
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self { lab, bin }
    }

    fn start(&self, args: &[&str]) -> Program {
        Program::start_with([&["check", "all", "--seed", "7"], args].concat(), |command| {
            in_folder(command, &self.lab.path("."));
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", self.bin.path().display()));
        })
    }

    fn check(&self, args: &[&str]) -> (i32, String, String) {
        self.start(args).finish()
    }

    /// How cargo was called, each time.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.bin.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

fn stages(lab: &Lab) -> Vec<String> {
    let (_, path) = lab.json(["progress", "--format", "json"]);
    let stages = path["stages"].as_array().unwrap().iter();
    stages.map(|stage| stage["stage"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_are_built_by_one_cargo_and_what_is_unchanged_is_left() {
    let finished = Finished::new("en");
    let stages = stages(&finished.lab);
    let (code, stdout, stderr) = finished.check(&[]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    let calls = finished.calls();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    for stage in &stages {
        assert!(call.contains(&format!("--bin {stage} ")), "{call}");
    }
    // A line for each stage, in their order, whatever came of those before.
    let lines: Vec<_> = stdout.lines().collect();
    for (stage, line) in stages.iter().zip(&lines) {
        assert_eq!(line.split_whitespace().nth(1), Some(stage.as_str()), "{stdout}");
    }
    assert!(lines[0].starts_with("✓ 01-first-proxy") && lines[0].contains("5/5"), "{stdout}");
    assert!(lines[1].starts_with("✗ ") && lines[1].contains("It does not compile"), "{stdout}");
    assert!(lines[2].contains("starts: exited-at-once"), "{stdout}");
    // What follows fits a screen: which they are, and the first.
    assert!(lines.len() - stages.len() <= 23, "{stdout}");
    assert!(stdout.contains("\nFailed: 02, 03, 04,"), "{stdout}");
    let sum = format!("1 of {} stages passed, 5 of ", stages.len());
    assert!(stdout.contains(&sum), "{stdout}");
    // The first that failed, with its reason and the next step.
    assert!(stdout.contains("main.rs:1: cannot find function `one`"), "{stdout}");
    assert_eq!(lines.last(), Some(&"    pingora-lab check 02-round-robin --seed 7"));
    // What was passed is kept.
    assert!(finished.lab.read(".lab/progress.json").contains(FIRST));

    let built = |stage: &str| {
        let program = finished.lab.path(&format!("target/debug/{stage}"));
        fs::metadata(program).unwrap().modified().unwrap()
    };
    let before = built(&stages[2]);
    let (code, value) = {
        let (code, stdout, _) = finished.check(&["--format", "json"]);
        (code, serde_json::from_str::<serde_json::Value>(&stdout).unwrap())
    };
    assert_eq!((code, value.as_array().unwrap().len()), (1, stages.len()), "{value:#}");
    assert_eq!(value[0]["verdict"], "pass");
    assert!(value[1]["build"]["compiler"][0].as_str().unwrap().contains("cannot find function"));
    assert_eq!(value[2]["checks"][0]["diagnosis"], "exited-at-once");
    assert_eq!(built(&stages[2]), before, "it was left as it is");
    assert_eq!(finished.calls().len(), 2);
}

#[test]
fn a_report_says_what_was_proved_in_the_language_asked_for() {
    let finished = Finished::new("zh");
    let file = finished.lab.path("report.md");
    fs::write(&file, "old").unwrap();
    let (code, stdout, stderr) = finished.check(&["--report", "report.md"]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stderr.contains("检查报告已写入 report.md。"), "{stderr}");
    let text = fs::read_to_string(&file).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for part in [
        "# 检查报告",
        "通过 1 个",
        &format!("| pingora-lab | {version} |"),
        "| rustc | rustc 1.",
        // The workspace of the test has none.
        "| pingora | 未知 |",
        "Linux",
        "| `starts` 程序启动，并在 LAB_LISTEN 上监听 | ✓ 通过 | 7 |",
        "- 未执行",
        "cannot find function `one`",
        "退出码 5",
        "pingora-lab check 06-failures --seed 7",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let left = fs::read_dir(finished.lab.path(".")).unwrap();
    let left = left.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(".pingora"));
    assert_eq!(left.count(), 0, "nothing unfinished is left");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_built() {
    let finished = Finished::new("en");
    for path in ["nowhere/report.md", "/dev/null", ".", "Cargo.toml/report.md"] {
        let (code, stdout, stderr) = finished.check(&["--report", path]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{path}");
        assert!(stderr.contains("the report cannot be written to"), "{path}: {stderr}");
    }
    assert_eq!(finished.calls(), Vec::<String>::new());
}

#[test]
fn a_check_that_is_stopped_writes_no_report() {
    let finished = Finished::new("en");
    // The judge waits for it.
    finished.lab.save(
        FIRST,
        "fn main() { std::fs::write(\"started\", \"\").unwrap(); loop { std::thread::park() } }",
    );
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let started = finished.lab.path("started");
        let _ = fs::remove_file(&started);
        let mut program = finished.start(&["--report", "report.md"]);
        crate::judge::run::Mark::new().wait_until("the program runs", |_| started.exists());
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(3));
        program.stderr_line(|line| line.contains("stopped before").then_some(()));
        let folder: Vec<PathBuf> =
            fs::read_dir(finished.lab.path(".")).unwrap().map(|e| e.unwrap().path()).collect();
        let report = |path: &PathBuf| path.to_string_lossy().contains("report.md");
        let unfinished = |path: &PathBuf| path.to_string_lossy().contains("/.pingora-lab-");
        assert!(!folder.iter().any(|path| report(path) || unfinished(path)), "{folder:?}");
    }
}

#[test]
fn where_nothing_can_be_built_it_is_inconclusive_and_told_once() {
    let finished = Finished::new("en");
    let program = Program::start_with(["check", "all"], |command| {
        in_folder(command, &finished.lab.path("."));
        command.env("PATH", "/nowhere");
    });
    let (code, stdout, _) = program.finish();
    assert_eq!(code, 3, "{stdout}");
    let stages = stages(&finished.lab).len();
    assert_eq!(
        stdout.lines().filter(|line| line.starts_with("? ")).count(),
        stages + 1,
        "{stdout}"
    );
    assert_eq!(stdout.matches("Install Rust").count(), 1, "{stdout}");
}

#[test]
fn a_command_is_judged_and_reported_too() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["check", "all", "--lang", "en", "--cmd", "sh -c 'exit 5'", "--report", "r.md"];
    let program = Program::start_with(args, |command| in_folder(command, folder.path()));
    let (code, stdout, stderr) = program.finish();
    assert_eq!(code, 1, "{stdout}{stderr}");
    let again = "check 01-first-proxy --seed ";
    let last = stdout.lines().last().unwrap();
    assert!(last.contains(again) && last.ends_with(r#"--cmd 'sh -c '\''exit 5'\'''"#), "{stdout}");
    let text = fs::read_to_string(folder.path().join("r.md")).unwrap();
    assert!(text.contains("| judged | `sh -c 'exit 5'` |"), "{text}");
}
