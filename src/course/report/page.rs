//! Lines of text for a terminal of any width.

use textwrap::Options;

use crate::language::Language;

/// Lines, as they come together.
pub(super) struct Page {
    pub(super) lines: Vec<String>,
    /// In columns; without one, nothing is wrapped.
    pub(super) width: Option<usize>,
    pub(super) language: Language,
}

// === impl Page ===

impl Page {
    pub(super) fn new(width: Option<usize>, language: Language) -> Self {
        Self { lines: Vec::new(), width, language }
    }

    pub(super) fn say(&mut self, en: &str, zh: &str) {
        let words = if self.language == Language::En { en } else { zh };
        self.text("  ", words);
    }

    /// A command is never wrapped: it is there to be copied.
    pub(super) fn command(&mut self, command: &str) {
        self.lines.push(format!("    {command}"));
    }

    pub(super) fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// A text behind a label; its further lines stand under its first.
    pub(super) fn text(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let indent = " ".repeat(textwrap::core::display_width(label));
        let width = self.width.unwrap_or(usize::MAX).max(indent.len() + 10);
        let options = Options::new(width).initial_indent(label).subsequent_indent(&indent);
        for line in text.lines() {
            self.lines.extend(textwrap::wrap(line, &options).iter().map(ToString::to_string));
        }
    }
}
