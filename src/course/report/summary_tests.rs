use super::*;
use crate::course::build::{Diagnostic, Failure, Place, Trouble};
use crate::course::lesson::Lesson;
use crate::course::trial::sample::report;

fn first() -> &'static Lesson {
    &lesson::all()[0]
}

/// The first stage with code that does not compile.
fn not_built() -> Report {
    let place = Some(Place { file: "stages/01/main.rs".into(), line: 3, column: 5 });
    let said = Diagnostic {
        target: first().id().to_owned(),
        level: Level::Error,
        rendered: "error[E0308]: mismatched types\n".to_owned(),
        summary: "mismatched types".to_owned(),
        place,
    };
    let failure = Failure { trouble: Trouble::Errors(1), detail: String::new() };
    Report { result: Outcome::NotBuilt(failure, vec![said]), ..report(first(), None) }
}

/// What a terminal of this width shows below the stages' lines, a row an item.
fn screen(reports: &[Report], language: Language, width: usize) -> Vec<String> {
    colored::control::set_override(false);
    let lines = summary(reports, language, Some(width), "pingora-lab");
    let mut rows = Vec::new();
    for line in lines {
        rows.extend((1..display_width(&line).div_ceil(width)).map(|_| String::new()));
        rows.push(line);
    }
    rows
}

#[test]
fn the_sum_fits_a_screen_however_many_stages_there_are() {
    for language in [Language::En, Language::Zh] {
        for width in [80, 40] {
            for failed in [report(first(), Some("forwards")), not_built()] {
                let reports = vec![failed; 22];
                let rows = screen(&reports, language, width);
                assert!(rows.len() <= ROWS, "{width} columns:\n{}", rows.join("\n"));
                assert!(rows.last().unwrap().ends_with(" check 01-first-proxy --seed 7"));
            }
        }
    }
}

#[test]
fn a_stages_line_fits_forty_columns_and_tells_the_finding_where_there_is_room() {
    let failed = report(first(), Some("forwards"));
    let narrow = stage_line(&failed, Language::Zh, Some(40));
    assert!(display_width(&narrow) <= 40, "{narrow}");
    assert!(narrow.contains("4/5") && !narrow.contains("status-changed"), "{narrow}");
    let wide = stage_line(&failed, Language::En, Some(80));
    assert!(wide.contains("forwards: status-changed"), "{wide}");
}

#[test]
fn the_first_that_failed_is_told_even_behind_one_that_was_inconclusive() {
    let inconclusive = {
        let failure = Failure { trouble: Trouble::Killed, detail: String::new() };
        Report { result: Outcome::NotBuilt(failure, Vec::new()), ..report(first(), None) }
    };
    let second = &lesson::all()[1];
    let failed = report(second, Some("starts"));
    let lines = screen(&[inconclusive, failed], Language::En, 80);
    let text = lines.join("\n");
    assert!(text.contains("✗ 02-round-robin  Starts and listens"), "{text}");
    assert!(text.contains("0 of 2 stages passed, 4 of 10 checks"), "{text}");
    assert!(text.contains("Failed: 02. Inconclusive: 01.\n"), "{text}");
    assert!(text.ends_with("pingora-lab check 02-round-robin --seed 7"), "{text}");
}

#[test]
fn code_that_does_not_compile_is_told_with_its_place() {
    let text = screen(&[not_built()], Language::En, 80).join("\n");
    assert!(text.contains("It does not compile"), "{text}");
    assert!(text.contains("stages/01/main.rs:3: mismatched types"), "{text}");
}
