//! `next --keep`: on with one's own program.

use std::fs;

use crate::support::lab::{FIRST, Lab, RIGHT};

const SECOND: &str = "02-round-robin";

/// Where somebody is who has passed these stages.
fn at(lab: &Lab, current: &str, passed: &[&str]) {
    let pass =
        |stage: &&str| format!(r#""{stage}": {{"seed": 1, "when": "2026-01-02T03:04:05Z"}}"#);
    let passed: Vec<_> = passed.iter().map(pass).collect();
    let text = format!(r#"{{"current": "{current}", "passed": {{{}}}}}"#, passed.join(", "));
    fs::write(lab.path(".lab/progress.json"), text).unwrap();
}

fn main_of(stage: &str) -> String {
    format!("stages/{stage}/main.rs")
}

#[test]
fn the_next_stage_begins_with_ones_own_program_and_its_modules() {
    for (language, words, with) in [
        (
            "en",
            "It is your program of 01-first-proxy now",
            "With it came stages/02-round-robin/pool.rs.",
        ),
        (
            "zh",
            "它现在是你在 01-first-proxy 写的程序",
            "一同带来的文件：stages/02-round-robin/pool.rs。",
        ),
    ] {
        let lab = Lab::new(language);
        let mine = format!("mod pool;\n{RIGHT}");
        fs::write(lab.path("stages/01-first-proxy/pool.rs"), "//! Mine.\n").unwrap();
        lab.save(FIRST, &mine);
        let (code, stdout, stderr) = lab.run(["check"]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        let (code, stdout, stderr) = lab.run(["next", "--keep"]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        for part in [words, with, SECOND, "pingora-lab reset 02-round-robin"] {
            assert!(stdout.contains(part), "{part}\n{stdout}");
        }
        assert_eq!(lab.read(&main_of(SECOND)), mine);
        assert_eq!(lab.read(&main_of(FIRST)), mine);
        assert_eq!(lab.read("stages/02-round-robin/pool.rs"), "//! Mine.\n");
        // And it is the stage at hand, whose program builds.
        let (_, stdout, _) = lab.run(["check"]);
        assert!(stdout.contains("02-round-robin"), "{stdout}");
        assert!(!stdout.contains("error"), "{stdout}");
    }
}

#[test]
fn what_the_next_stage_held_is_kept_beside_it_and_said() {
    let lab = Lab::new("en");
    at(&lab, FIRST, &[FIRST]);
    lab.save(FIRST, "// one");
    lab.save(SECOND, "// two, begun before");
    let (code, stdout, _) = lab.run(["next", "--keep"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("What was there is kept as stages/02-round-robin/main.rs.bak-1."),
        "{stdout}"
    );
    assert_eq!(lab.read("stages/02-round-robin/main.rs.bak-1"), "// two, begun before");
    assert_eq!(lab.read(&main_of(SECOND)), "// one");
    // Once more there is nothing to do, and nothing is kept twice.
    at(&lab, FIRST, &[FIRST]);
    let (code, stdout, _) = lab.run(["next", "--keep"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("It is your program of 01-first-proxy already."), "{stdout}");
    assert!(!lab.path("stages/02-round-robin/main.rs.bak-2").exists());
}

#[test]
fn nothing_is_carried_from_a_stage_that_is_not_passed_or_is_the_last() {
    let lab = Lab::new("en");
    let starter = lab.read(&main_of(SECOND));
    lab.save(FIRST, "// one");
    let (code, stdout, stderr) = lab.run(["next", "--keep"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("01-first-proxy is not passed yet"), "{stderr}");
    assert_eq!(lab.read(&main_of(SECOND)), starter);

    let (_, list) = lab.json(["progress", "--format", "json"]);
    let last = list["stages"].as_array().unwrap().last().unwrap()["stage"].as_str().unwrap();
    at(&lab, last, &[last]);
    let before = lab.read(".lab/progress.json");
    for (language, words) in [("en", "That was the last stage."), ("zh", "这是最后一个阶段")]
    {
        let (code, stdout, _) = lab.run(["next", "--keep", "--lang", language]);
        assert_eq!(code, 0);
        assert!(stdout.contains(words), "{stdout}");
    }
    assert_eq!(lab.read(".lab/progress.json"), before);
}

#[test]
fn a_program_that_cannot_be_carried_moves_nobody_on() {
    let lab = Lab::new("en");
    at(&lab, FIRST, &[FIRST]);
    fs::write(lab.path("stages/01-first-proxy/pool.rs"), "").unwrap();
    fs::create_dir(lab.path("stages/02-round-robin/pool.rs")).unwrap();
    let (code, _, stderr) = lab.run(["next", "--keep"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("stages/02-round-robin/pool.rs"), "{stderr}");
    assert!(lab.read(".lab/progress.json").contains(r#""current": "01-first-proxy""#));
}

#[test]
fn goto_goes_to_every_stage_by_each_of_its_names_passed_or_not() {
    let lab = Lab::new("en");
    at(&lab, FIRST, &[FIRST]);
    let (_, list) = lab.json(["progress", "--format", "json"]);
    for stage in list["stages"].as_array().unwrap() {
        let id = stage["stage"].as_str().unwrap();
        let (number, name) = id.split_once('-').unwrap();
        let bare = number.trim_start_matches('0');
        for named in [id, number, bare, name, &format!("{bare}-{name}")] {
            let (code, stdout, stderr) = lab.run(["goto", named]);
            assert_eq!(code, 0, "{named}: {stderr}");
            assert!(stdout.contains(&main_of(id)), "{named}: {stdout}");
        }
        let (_, list) = lab.json(["progress", "--format", "json"]);
        assert_eq!(list["current"], id);
    }
    for named in ["0", "99", "7-round-robin", "round", ""] {
        let (code, _, stderr) = lab.run(["goto", named]);
        assert_eq!(code, 2, "{named}");
        assert!(stderr.contains("there is no stage"), "{named}: {stderr}");
    }
}
