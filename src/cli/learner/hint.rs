//! `pingora-lab hint`.

use std::io::Write;

use super::{Desk, StageArg};
use crate::cli::listing::terminal_width;
use crate::cli::{Exit, Global};
use crate::language::Language;

pub(in crate::cli) fn run(stage: StageArg, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let lesson = desk.stage(&stage)?;
    let seen = desk.progress.hints.get(lesson.id()).copied().unwrap_or(0);
    let shown = (seen + 1).min(lesson.hints.len());
    desk.update(|progress| {
        progress.hints.insert(lesson.id().to_owned(), shown);
    })?;
    let total = lesson.hints.len();
    let mut out = std::io::stdout().lock();
    let width = terminal_width().unwrap_or(usize::MAX);
    for (number, hint) in (1..=shown).zip(&lesson.hints) {
        let label = format!("{number}/{total}  ");
        let indent = " ".repeat(label.len());
        let options = textwrap::Options::new(width).subsequent_indent(&indent);
        for (at, line) in hint.in_(desk.language).lines().enumerate() {
            let lead = if at == 0 { label.as_str() } else { indent.as_str() };
            for line in textwrap::wrap(line, options.clone().initial_indent(lead)) {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    if shown == total && seen == total {
        let _ = match desk.language {
            Language::En => writeln!(out, "\nThat was the last hint."),
            Language::Zh => writeln!(out, "\n提示到此为止。"),
        };
    }
    Ok(Exit::Good)
}
