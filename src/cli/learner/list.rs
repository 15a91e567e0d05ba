//! `pingora-lab list`.

use std::io::Write;

use colored::Color;

use super::Desk;
use crate::cli::listing::{Listing, terminal_width};
use crate::cli::{Exit, Global};
use crate::course::lesson;
use crate::language::Language;

pub(in crate::cli) fn run(global: &Global) -> anyhow::Result<Exit> {
    // Without a workspace the stages can be read all the same.
    let desk = Desk::find(global).ok();
    let language = desk.as_ref().map_or_else(|| global.language(), |desk| desk.language);
    let current = desk.as_ref().and_then(|desk| desk.current().ok()).map(lesson::Lesson::id);
    let headings = match language {
        Language::En => ["STAGE", "TITLE", "STATE"],
        Language::Zh => ["阶段", "标题", "状态"],
    };
    let mut listing = Listing::new(headings);
    for lesson in lesson::all() {
        let passed = desk.as_ref().is_some_and(|desk| desk.progress.has_passed(lesson.id()));
        let here = current == Some(lesson.id());
        let (state, color) = match (passed, here, language) {
            (true, false, Language::En) => ("passed", Some(Color::Green)),
            (true, false, Language::Zh) => ("已通过", Some(Color::Green)),
            (true, true, Language::En) => ("passed, current", Some(Color::Green)),
            (true, true, Language::Zh) => ("已通过，当前", Some(Color::Green)),
            (false, true, Language::En) => ("current", Some(Color::Yellow)),
            (false, true, Language::Zh) => ("当前", Some(Color::Yellow)),
            (false, false, Language::En) => ("open", None),
            (false, false, Language::Zh) => ("未通过", None),
        };
        let title = lesson.title.in_(language).to_owned();
        listing.push([lesson.id().to_owned(), title, state.to_owned()], color);
    }
    let mut out = std::io::stdout().lock();
    let _ = listing.write(&mut out, terminal_width()).and_then(|()| out.flush());
    Ok(Exit::Good)
}
