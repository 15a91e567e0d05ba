//! From save to verdict.

use nix::sys::signal::Signal;
use pingora_lab::judge::stages::STAGES;

use super::{FIRST, Learner, Terminal};

#[test]
fn a_failing_stage_shows_its_diagnosis_and_its_evidence() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 40);
    terminal.shows("0 of 5 checks passed");
    for part in [
        "01-first-proxy",
        &format!("0/{}", STAGES.len()),
        "Forward every request to one backend",
        "✗ Starts and listens",
        "- Serves 50 clients at the same time (not run)",
        "starts: exited-at-once",
        "→ Read its last output.",
        "exit code 3",
        "a wrong setting",
        "--seed ",
        "h hint",
    ] {
        terminal.shows(part);
    }
    let text = terminal.seen().text();
    assert!(!text.contains("n next") && !text.contains("s solution"), "{text}");
}

#[test]
fn an_error_is_shown_while_cargo_still_works() {
    let learner = Learner::new("en", "error");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("error[E0425]: cannot find value `backend`");
    assert!(terminal.seen().text().contains("Building"), "{}", terminal.seen().text());
    learner.open_gate();
    terminal.shows("Does not compile");
    terminal.shows("1 error.");
    terminal.shows("--> stages/main.rs:3:5");
}

#[test]
fn a_pass_shows_what_was_proved_the_solution_and_the_next_stage() {
    let learner = Learner::new("en", "right");
    let terminal = Terminal::start(&learner, 80, 40);
    terminal.shows("✓ Passed");
    terminal.shows("status and body arrived byte for byte");
    terminal.shows(&format!("1/{}", STAGES.len()));
    terminal.shows("go on: 02-round-robin");
    terminal.shows("stages/02-round-robin/main.rs");
    // As `check` would have kept it.
    assert!(learner.lab.read(".lab/progress.json").contains(FIRST));
    assert!(learner.lab.read("TODO.md").contains("- [x] `forwards`"));
    terminal.press("s");
    terminal.shows("Reference solution");
    terminal.shows("//!");
    terminal.press("n");
    terminal.shows("02-round-robin");
    terminal.until("the next stage", |seen| seen.text().starts_with("02-round-robin"));
    let progress = learner.lab.read(".lab/progress.json");
    assert!(progress.contains(r#""current": "02-round-robin""#), "{progress}");
}

#[test]
fn the_next_stage_may_begin_with_ones_own_program() {
    let learner = Learner::new("en", "right");
    let terminal = Terminal::start(&learner, 80, 40);
    terminal.shows("N  the same with your own program");
    terminal.press("N");
    terminal.until("the next stage", |seen| seen.text().starts_with("02-round-robin"));
    terminal.shows("It is your program of 01-first-proxy now");
    assert_eq!(learner.lab.read("stages/02-round-robin/main.rs"), "right\n");
    // It is what is judged there: a program that forwards to one backend only.
    terminal.shows("only-first-backend");
}

#[test]
fn what_an_older_save_came_to_is_never_shown() {
    let learner = Learner::new("en", "late");
    let terminal = Terminal::start(&learner, 80, 40);
    learner.mark.wait_until("the program runs", |_| learner.running().exists());
    learner.save("right");
    // The verdict on the older save comes at once, before word of the new one.
    learner.open_gate();
    terminal.shows("✓ Passed");
    for text in &terminal.seen().texts {
        assert!(!text.contains('✗') && !text.contains("exited-at-once"), "{text}");
    }
}

#[test]
fn a_save_ends_what_the_one_before_it_started() {
    let learner = Learner::new("en", "first");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("45/238");
    let cargo = learner.mark.processes();
    learner.save("wrong");
    terminal.shows("0 of 5 checks passed");
    // The terminal's own program is one of them, and goes on.
    let left = learner.mark.processes();
    assert_eq!(cargo.iter().filter(|pid| left.contains(pid)).count(), 1, "{cargo:?} {left:?}");
}

#[test]
fn the_first_build_has_its_progress_and_the_lesson_meanwhile() {
    let learner = Learner::new("en", "first");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("The dependencies, once: ▰▱▱▱▱▱▱▱▱▱ 45/238  bytes, http");
    terminal.shows("── Lesson");
    learner.open_gate();
    terminal.shows("✓ Passed");
    terminal.shows("── Result");
}

#[test]
fn keys_open_hints_the_stages_and_the_lesson() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 40);
    terminal.shows("0 of 5 checks passed");
    terminal.press("h");
    terminal.shows("1/5 ");
    terminal.press("h");
    terminal.shows("2/5 ");
    terminal.press("o");
    terminal.shows("── Lesson");
    terminal.press("s");
    terminal.shows("The reference solution is shown once the stage is passed");
    terminal.press("l");
    terminal.shows("▸ · 01-first-proxy");
    terminal.press("j\r");
    terminal.until("the next stage", |seen| seen.text().starts_with("02-round-robin"));
    terminal.shows("0 of ");
    terminal.press("t");
    terminal.shows("5 项检查通过 0 项");
}

#[test]
fn each_rerun_has_a_seed_of_its_own() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 24);
    let first = terminal.seed();
    terminal.press("r");
    terminal.another_run(&first);
}

/// Ended so while a program runs, the watch gives the terminal back and leaves
/// nothing.
fn ends(how: impl FnOnce(&Terminal)) {
    let learner = Learner::new("en", "late");
    let mut terminal = Terminal::start(&learner, 80, 24);
    learner.mark.wait_until("the program runs", |_| learner.running().exists());
    terminal.shows("Checking");
    assert!(terminal.seen().screen().alternate_screen());
    how(&terminal);
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.assert_given_back();
    learner.mark.wait_until_gone();
}

#[test]
fn q_ends_it() {
    ends(|terminal| terminal.press("q"));
}

#[test]
fn ctrl_c_ends_it() {
    ends(|terminal| terminal.press("\u{3}"));
}

#[test]
fn sigterm_ends_it() {
    ends(|terminal| terminal.signal(Signal::SIGTERM));
}

#[test]
fn sighup_ends_it() {
    ends(|terminal| terminal.signal(Signal::SIGHUP));
}
