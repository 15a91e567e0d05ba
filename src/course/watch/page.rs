//! Lines of a given width, wrapped where the language and wide characters allow.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text and how it looks.
pub type Piece = (String, Style);

/// The few styles there are. None of them names black, white or a background, so
/// that each terminal's own serve.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether colours are wanted.
    pub color: bool,
}

/// Lines, as they are written.
#[derive(Debug)]
pub struct Page {
    /// The lines so far.
    pub lines: Vec<Line<'static>>,
    width: usize,
}

// === impl Look ===

impl Look {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::default().fg(color) } else { Style::default() }
    }

    /// Of what is right.
    pub fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// Of what is wrong.
    pub fn bad(self) -> Style {
        self.fg(Color::Red)
    }

    /// Of what is unsure, or goes on.
    pub fn unsure(self) -> Style {
        self.fg(Color::Yellow)
    }

    /// Of keys and commands.
    pub fn key(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// Of what matters.
    pub fn bold(self) -> Style {
        Style::default().add_modifier(Modifier::BOLD)
    }

    /// Of what matters less.
    pub fn dim(self) -> Style {
        Style::default().add_modifier(Modifier::DIM)
    }
}

// === impl Page ===

impl Page {
    /// An empty page of so many columns.
    pub fn new(width: usize) -> Self {
        Self { lines: Vec::new(), width: width.max(4) }
    }

    /// A blank line, unless there is one.
    pub fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| line.width() > 0) {
            self.lines.push(Line::default());
        }
    }

    /// A text, wrapped between words.
    pub fn text(&mut self, text: &str, style: Style) {
        self.labelled(&(String::new(), style), text, style);
    }

    /// A text behind a label; its further lines stand under its first.
    pub fn labelled(&mut self, label: &Piece, text: &str, style: Style) {
        let indent = label.0.width();
        // A label that leaves no room has a line of its own.
        let (indent, below) =
            if indent + 8 > self.width { (2, indent > 0) } else { (indent, false) };
        if below {
            self.fold(vec![label.clone()]);
        }
        let mut first = !below;
        for line in clean(text).lines() {
            for line in textwrap::wrap(line, self.width - indent) {
                let lead = match std::mem::take(&mut first) {
                    true => Span::styled(label.0.clone(), label.1),
                    false => Span::raw(" ".repeat(indent)),
                };
                self.lines.push(Line::from(vec![lead, Span::styled(line.into_owned(), style)]));
            }
        }
    }

    /// A line whose every column counts (code, a command): cut at the width, and
    /// gone on with below.
    pub fn fold(&mut self, pieces: Vec<Piece>) {
        let (mut line, mut used) = (Vec::new(), 0);
        for (text, style) in pieces {
            let mut part = String::new();
            for c in clean(&text).chars() {
                let width = c.width().unwrap_or(0);
                if used + width > self.width {
                    line.push(Span::styled(std::mem::take(&mut part), style));
                    self.lines.push(Line::from(std::mem::take(&mut line)));
                    used = 0;
                }
                part.push(c);
                used += width;
            }
            if !part.is_empty() {
                line.push(Span::styled(part, style));
            }
        }
        self.lines.push(Line::from(line));
    }

    /// A rule with a title.
    pub fn rule(&mut self, title: &str, style: Style) {
        let title = format!("── {title} ");
        let rest = self.width.saturating_sub(title.width());
        if rest == 0 {
            self.text(title.trim(), style);
        } else {
            self.lines.push(Line::styled(title + &"─".repeat(rest), style));
        }
    }
}

/// Without what a terminal would act on: a program under test may print anything.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            '\n' => out.push('\n'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &Page) -> Vec<String> {
        page.lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn texts_wrap_by_columns_and_stand_under_their_first_line() {
        let mut page = Page::new(14);
        let plain = Style::default();
        page.labelled(&("期望  ".to_owned(), plain), "上游收到的路径", plain);
        assert_eq!(shown(&page), ["期望  上游收到", "      的路径"]);
        let mut page = Page::new(10);
        page.labelled(&("a long label ".to_owned(), plain), "text", plain);
        assert_eq!(shown(&page), ["a long lab", "el ", "  text"]);
    }

    #[test]
    fn a_fold_never_cuts_a_wide_character() {
        let mut page = Page::new(5);
        page.fold(vec![("ab路径c".to_owned(), Style::default())]);
        assert_eq!(shown(&page), ["ab路", "径c"]);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_dropped() {
        let mut page = Page::new(40);
        page.fold(vec![("a\u{1b}[31mb\u{7}\tc\r".to_owned(), Style::default())]);
        assert_eq!(shown(&page), ["a[31mb    c"]);
    }
}
