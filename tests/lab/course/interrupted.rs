//! `check`, stopped half way: nothing is left behind.

use crate::judge::run::Mark;
use crate::support::Program;
use crate::support::lab::in_folder;

/// A program that never listens, and starts another that does as little.
const IDLE: &str = "sh -c 'sleep 600 & echo started >\"$MARK_FILE\"; wait'";

/// Stops a check with this signal while its program runs.
fn stopped_by(signal: i32) {
    let folder = tempfile::tempdir().unwrap();
    let (mark, file) = (Mark::new(), folder.path().join("started"));
    let scratch = folder.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let mut program = Program::start_with(["check", "1", "--cmd", IDLE], |command| {
        in_folder(command, folder.path());
        command.env("MARK", mark.text()).env("MARK_FILE", &file).env("TMPDIR", &scratch);
    });
    mark.wait_until("the program runs", |_| file.exists());
    // One that is only just becoming its program shows no environment for an instant.
    mark.wait_until("ourselves, the guard, the program and its child", |mark| {
        mark.processes().len() >= 4
    });
    program.signal(signal);
    program.wait();
    mark.wait_until_gone();
    let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn ctrl_c_leaves_nothing() {
    stopped_by(libc::SIGINT);
}

#[test]
fn sigterm_leaves_nothing() {
    stopped_by(libc::SIGTERM);
}

#[test]
fn sighup_leaves_nothing() {
    stopped_by(libc::SIGHUP);
}

/// Not even the signal that nobody can handle.
#[test]
fn sigkill_leaves_no_process() {
    stopped_by(libc::SIGKILL);
}
