use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::super::input::{Input, Key};
use super::super::model::tests::{begun, done};
use super::*;

fn drawn(model: &Model, width: u16, height: u16, color: bool) -> Buffer {
    let around = Surroundings { prefix: String::new(), invocation: "pingora-lab", color };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| {
        draw(frame, model, &around);
    });
    drawn.unwrap();
    terminal.backend().buffer().clone()
}

/// The rows, each character once however wide it is.
fn rows(buffer: &Buffer) -> Vec<String> {
    let width = buffer.area.width;
    let row = |y| {
        let (mut row, mut x) = (String::new(), 0);
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            row.push_str(symbol);
            x += symbol.width().max(1) as u16;
        }
        assert_eq!(row.width(), usize::from(width), "{row}");
        row
    };
    (0..buffer.area.height).map(row).collect()
}

/// A model in each state that has a look of its own.
fn models(language: Language) -> Vec<Model> {
    let with = |change: fn(&mut Model)| {
        let mut model = begun();
        model.language = language;
        change(&mut model);
        model
    };
    vec![
        with(|_| {}),
        with(|model| drop(done(model, Some("forwards")))),
        with(|model| drop(done(model, None))),
        with(|model| {
            done(model, Some("forwards"));
            model.on(Input::Saved);
        }),
        with(|model| drop(model.on(Input::Key(Key::Hint)))),
        with(|model| drop(model.on(Input::Key(Key::Lesson)))),
        with(|model| drop(model.on(Input::Key(Key::List)))),
    ]
}

#[test]
fn every_state_fits_and_has_its_keys_at_every_size() {
    for language in [Language::En, Language::Zh] {
        for (at, model) in models(language).iter().enumerate() {
            for (width, height) in [(40, 24), (40, 12), (80, 24), (80, 10), (120, 30), (200, 60)] {
                let rows = rows(&drawn(model, width, height, true));
                let text = rows.join("\n");
                let place = format!("{language:?} {at} {width}x{height}\n{text}");
                assert!(rows[0].starts_with("01-first-proxy"), "{place}");
                assert!(text.contains(if language == Language::En {
                    "q quit"
                } else {
                    "q 退出"
                }));
                assert!(text.contains("──"), "{place}");
            }
            // Nothing panics where there is no room at all.
            for (width, height) in [(1, 1), (9, 3), (10, 4), (200, 2), (12, 40)] {
                drawn(model, width, height, true);
            }
        }
    }
}

#[test]
fn a_lessons_pictures_are_whole_from_80_columns_on() {
    for language in [Language::En, Language::Zh] {
        let mut model = begun();
        model.language = language;
        model.on(Input::Key(Key::Lesson));
        let readme = model.lesson.readme(language);
        let picture = readme.lines().skip_while(|line| !line.starts_with("    "));
        let picture: Vec<_> = picture.take_while(|line| !line.is_empty()).collect();
        assert!(picture.len() > 5 && picture.iter().all(|line| line.width() <= 82), "{picture:?}");
        for width in [80, 100, 125, 126, 200] {
            let text = rows(&drawn(&model, width, 60, false)).join("\n");
            for line in &picture {
                assert!(text.contains(&line[2..]), "{width}: {line}\n{text}");
            }
        }
    }
}

#[test]
fn facts_line_up_in_both_languages() {
    let en = ["expected  状态 200", "actual    status 500"];
    let zh = ["期望  状态 200", "实际  状态码 500"];
    for (language, facts) in [(Language::En, en), (Language::Zh, zh)] {
        let model = &models(language)[1];
        let rows = rows(&drawn(model, 80, 40, false));
        for wanted in facts {
            assert!(rows.iter().any(|row| row.starts_with(wanted)), "{wanted}\n{rows:#?}");
        }
    }
}

#[test]
fn the_verdict_of_the_save_before_is_named_as_such() {
    let text = rows(&drawn(&models(Language::En)[3], 80, 40, false)).join("\n");
    assert!(text.contains("Of the save before; this one is being judged:"), "{text}");
    assert!(text.contains("Building…") && !text.contains("checks passed"), "{text}");
    let current = rows(&drawn(&models(Language::En)[1], 80, 40, false)).join("\n");
    assert!(!current.contains("Of the save before"), "{current}");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    for model in models(Language::En) {
        let plain = |buffer: &Buffer| {
            buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset))
        };
        assert!(plain(&drawn(&model, 80, 24, false)));
        assert!(!plain(&drawn(&model, 80, 24, true)));
    }
}
