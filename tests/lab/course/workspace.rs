//! `init`, `hint`, `next`, `goto`, `reset`, `solution`.

use std::fs;

use crate::support::Program;
use crate::support::lab::{FIRST, Lab, in_folder};

#[test]
fn a_second_init_writes_over_nothing() {
    let lab = Lab::new("en");
    lab.save(FIRST, "// mine");
    fs::remove_file(lab.path("stages/02-round-robin/main.rs")).unwrap();
    let (code, stdout, _) = lab.run(["init", "."]);
    assert_eq!(code, 0);
    assert!(stdout.contains(" written in this folder."), "{stdout}");
    let left = stdout.lines().find(|line| line.contains("left alone")).expect("what was left");
    assert!(left.contains("stages/01-first-proxy/main.rs"), "{stdout}");
    assert_eq!(lab.read("stages/01-first-proxy/main.rs"), "// mine");
    assert!(lab.read("stages/02-round-robin/main.rs").contains("TODO"));
}

#[test]
fn another_project_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"theirs\"\n").unwrap();
    let run = |args: [&str; 2]| {
        Program::start_with(args, |command| in_folder(command, folder.path())).finish()
    };
    let (code, _, stderr) = run(["init", "."]);
    assert_eq!(code, 1);
    assert!(stderr.contains("Cargo.toml"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was added");
}

#[test]
fn without_a_workspace_the_way_to_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for args in [["check"], ["hint"], ["next"], ["reset"], ["solution"]] {
        let program = Program::start_with(args, |command| in_folder(command, folder.path()));
        let (code, _, stderr) = program.finish();
        assert_eq!(code, 2, "{args:?}");
        assert!(stderr.contains("`pingora-lab init my-lab`"), "{args:?}: {stderr}");
    }
}

#[test]
fn the_workspace_is_found_from_inside_and_from_above() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str], at: &str| {
        let adjust = |command: &mut _| in_folder(command, &folder.path().join(at));
        Program::start_with(args, adjust).finish()
    };
    assert_eq!(run(&["init"], "").0, 0);
    for at in ["", "my-lab", "my-lab/stages/02-round-robin"] {
        let (code, stdout, _) = run(&["goto", "2"], at);
        assert_eq!(code, 0, "{at}");
        assert!(stdout.contains("02-round-robin"), "{at}: {stdout}");
    }
}

#[test]
fn next_waits_for_a_pass_and_goto_does_not() {
    let lab = Lab::new("en");
    let (code, _, stderr) = lab.run(["next"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("01-first-proxy is not passed yet"), "{stderr}");
    let (code, stdout, _) = lab.run(["goto", "failures"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("stages/06-failures/main.rs"), "{stdout}");
    let (code, _, stderr) = lab.run(["goto", "7-nothing"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("06-failures"), "what there is: {stderr}");
}

#[test]
fn hints_come_one_by_one_and_stay() {
    let lab = Lab::new("zh");
    let lines = |text: &str| text.lines().filter(|line| line.contains('/')).count();
    let (_, first, _) = lab.run(["hint", "2"]);
    let (_, second, _) = lab.run(["hint", "2"]);
    assert!(second.starts_with(first.trim_end()), "{first}\n{second}");
    assert!(lines(&second) > lines(&first), "{first}\n{second}");
    // Until the last, which is said to be the last.
    let mut seen = second;
    for _ in 0..20 {
        let (code, stdout, _) = lab.run(["hint", "2"]);
        assert_eq!(code, 0);
        seen = stdout;
    }
    assert!(seen.contains("提示到此为止"), "{seen}");
}

#[test]
fn reset_keeps_what_was_written() {
    let lab = Lab::new("en");
    let file = "stages/01-first-proxy/main.rs";
    let starter = lab.read(file);
    for (mine, kept) in [("// one", "main.rs.bak-1"), ("// two", "main.rs.bak-2")] {
        lab.save(FIRST, mine);
        let (code, stdout, _) = lab.run(["reset"]);
        assert_eq!(code, 0);
        assert!(stdout.contains(kept), "{stdout}");
        assert_eq!(lab.read(file), starter);
        assert_eq!(lab.read(&format!("stages/01-first-proxy/{kept}")), mine);
    }
    let (_, stdout, _) = lab.run(["reset"]);
    assert!(stdout.contains("is the starter already"), "{stdout}");
}

#[test]
fn the_solution_is_shown_after_a_pass_or_when_asked_twice() {
    let lab = Lab::new("en");
    let (code, stdout, stderr) = lab.run(["solution"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("--anyway"), "{stderr}");
    let (code, asked, _) = lab.run(["solution", "1", "--anyway"]);
    assert_eq!(code, 0);
    assert!(asked.contains("impl ProxyHttp for"), "{asked}");
    lab.pass(FIRST);
    let (code, shown, _) = lab.run(["solution"]);
    assert_eq!((code, shown), (0, asked));
}
