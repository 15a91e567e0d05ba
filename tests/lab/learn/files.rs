//! Saves, however they are made.

use std::fs;

use super::{Learner, Terminal};

#[test]
fn a_save_by_renaming_is_noticed() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("0 of 5 checks passed");
    let new = learner.file().with_extension("new");
    fs::write(&new, "right\n").expect("a file");
    fs::rename(&new, learner.file()).expect("it takes the other's place");
    terminal.shows("✓ Passed");
}

/// Events are asked for in the stage's own folder; from those below it none come,
/// as none come from some shared folders.
#[test]
fn a_save_of_which_no_event_tells_is_noticed() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 24);
    let first = terminal.seed();
    let module = learner.file().with_file_name("pool");
    fs::create_dir(&module).expect("a folder");
    fs::write(module.join("mod.rs"), "wrong\n").expect("a module");
    terminal.another_run(&first);
    // The folder is there already: nothing happens in the one above it.
    fs::write(module.join("mod.rs"), "right\n").expect("a module");
    terminal.shows("✓ Passed");
}

#[test]
fn another_command_moves_it_on() {
    let learner = Learner::new("en", "right");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("✓ Passed");
    let (code, _, stderr) = learner.lab.run(["next"]);
    assert_eq!(code, 0, "{stderr}");
    terminal.until("the next stage", |seen| seen.text().starts_with("02-round-robin"));
}
