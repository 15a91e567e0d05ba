//! Without a terminal.

use super::Learner;
use crate::support::Program;

fn start(learner: &Learner, language: &str) -> Program {
    Program::start_with(["learn", "--lang", language], |command| learner.place(command))
}

#[test]
fn lines_tell_the_same_and_have_no_escapes() {
    let learner = Learner::new("en", "wrong");
    for (language, watching, failed, passed, next) in [
        ("en", "Watching stages/01-first-proxy/main.rs", "exited-at-once", "Passed, 5", "Go on"),
        ("zh", "正在监视 stages/01-first-proxy/main.rs", "exited-at-once", "通过：5", "继续"),
    ] {
        learner.save("wrong");
        let mut program = start(&learner, language);
        let line = |text: &str| program.stdout_line(|line| line.contains(text).then_some(()));
        line(watching);
        line(failed);
        learner.save("right");
        line(passed);
        line(next);
        program.signal(libc::SIGINT);
        assert_eq!(program.wait().code(), Some(0));
        let (_, stdout, _) = program.finish();
        assert!(!stdout.contains('\u{1b}'), "{stdout}");
        learner.mark.wait_until_gone();
    }
}

#[test]
fn it_ends_when_nobody_reads() {
    let learner = Learner::new("en", "wrong");
    let mut program = Program::start_with(["learn"], |command| {
        learner.place(command);
        let (ours, theirs) = std::io::pipe().expect("a pipe");
        drop(ours);
        command.stdout(theirs);
    });
    assert_eq!(program.wait().code(), Some(0));
    learner.mark.wait_until_gone();
}

#[test]
fn where_there_is_no_workspace_it_makes_one() {
    let learner = Learner::new("en", "wrong");
    let folder = tempfile::tempdir().expect("a folder");
    for made in [true, false] {
        let mut program = Program::start_with(["learn"], |command| {
            learner.place(command);
            command.current_dir(&folder);
        });
        let file = "my-lab/stages/01-first-proxy/main.rs";
        program.stdout_line(|line| line.contains(&format!("Watching {file};")).then_some(()));
        assert!(folder.path().join(file).is_file());
        program.signal(libc::SIGTERM);
        assert_eq!(program.wait().code(), Some(0));
        let (_, stdout, _) = program.finish();
        assert_eq!(stdout.contains("It is your workspace."), made, "{stdout}");
    }
    learner.mark.wait_until_gone();
}
