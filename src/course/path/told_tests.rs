use jiff::Timestamp;

use super::*;
use crate::course::lesson::{self, Lesson};
use crate::course::progress::Progress;

/// One who has passed the first stage and is at the second.
fn path() -> Path {
    let mut progress = Progress::default();
    progress.pass(lesson::all()[0].id(), u64::MAX, Timestamp::UNIX_EPOCH);
    Path::new(Some(&progress))
}

#[test]
fn every_line_but_the_command_fits_any_width_in_both_languages() {
    colored::control::set_override(false);
    for language in [Language::En, Language::Zh] {
        for width in [20, 40, 60, 80, 120] {
            let lines = lines(&path(), language, Some(width), "pingora-lab");
            let (command, rest) = lines.split_last().unwrap();
            assert_eq!(command, "    pingora-lab learn");
            // An id is never cut, and the longest file's name is in the message.
            let longest = lesson::all().iter().map(|lesson| lesson.id().len()).max().unwrap() + 2;
            let bound = width.max(longest).max(if width < 60 { 40 } else { 0 });
            for line in rest {
                assert!(display_width(line) <= bound, "{width}: {line:?}");
            }
        }
    }
}

#[test]
fn states_line_up_where_there_is_room() {
    colored::control::set_override(false);
    for (language, [passed, current, open]) in [
        (Language::En, ["passed 19", "current, about", "open, about"]),
        (Language::Zh, ["19", "当前，约", "未通过，约"]),
    ] {
        for width in [Some(100), Some(120), None] {
            let lines = lines(&path(), language, width, "pingora-lab");
            let column = |line: &str, state: &str| {
                let (before, _) = line.split_once(state).unwrap_or_else(|| panic!("{lines:#?}"));
                display_width(before)
            };
            let first = column(&lines[0], passed);
            assert_eq!(first, column(&lines[1], current), "{lines:#?}");
            assert_eq!(first, column(&lines[2], open), "{lines:#?}");
            let titled = lines[0].contains(lesson::all()[0].title.in_(language));
            assert!(titled, "{width:?}: {lines:#?}");
        }
    }
}

#[test]
fn the_json_says_the_same() {
    let object = json(&path(), Language::En, "pingora-lab");
    let stages = object["stages"].as_array().unwrap();
    assert_eq!(stages.len(), lesson::all().len());
    assert_eq!(stages[0]["passed"]["seed"], u64::MAX);
    assert_eq!(stages[0]["passed"]["when"], "1970-01-01T00:00:00Z");
    assert_eq!(stages[1]["passed"], Value::Null);
    assert_eq!(object["current"], lesson::all()[1].id());
    assert_eq!(object["next"]["command"], "pingora-lab learn");
    let left: u32 = lesson::all()[1..].iter().map(|lesson: &Lesson| lesson.minutes).sum();
    assert_eq!(object["minutes_left"], left);
}
