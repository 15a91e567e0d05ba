//! A lesson as lines: as much of Markdown as lessons use. A table's rows become
//! items, so that they can be read at any width; links are numbered and listed
//! at the end.

use ratatui::style::Style;

use super::page::{Look, Page};

/// Writes a Markdown text.
pub fn write(page: &mut Page, text: &str, look: Look) {
    let mut writer = Writer { page, look, open: None, headings: None, links: Vec::new() };
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            writer.close();
            fenced = !fenced;
        } else if fenced {
            writer.code(line);
        } else {
            writer.line(line);
        }
    }
    writer.end();
}

struct Writer<'a> {
    page: &'a mut Page,
    look: Look,
    /// The label and the text of the paragraph or item so far.
    open: Option<(String, String)>,
    /// The headings of the table that this is in.
    headings: Option<Vec<String>>,
    links: Vec<String>,
}

// === impl Writer ===

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        let text = line.trim_start();
        if !text.starts_with('|') {
            self.headings = None;
        }
        if text.is_empty() {
            self.close();
            self.page.blank();
        } else if self.open.is_none() && line.starts_with("    ") {
            // First: a picture's lines may begin like a table's or a list's.
            self.code(&line[2..]);
        } else if let Some(row) = text.strip_prefix('|') {
            self.close();
            self.row(row);
        } else if line.starts_with('#') {
            self.close();
            let heading = self.inline(line.trim_start_matches('#').trim());
            self.page.blank();
            self.page.text(&heading, self.look.bold());
        } else if let Some((label, rest)) = item(text) {
            self.close();
            let indent = &line[..line.len() - text.len()];
            self.open = Some((format!("{indent}{label}"), rest.to_owned()));
        } else if let Some((_, open)) = &mut self.open {
            // Chinese has no spaces between lines.
            if open.is_ascii_end() || text.starts_with(|c: char| c.is_ascii()) {
                open.push(' ');
            }
            open.push_str(text);
        } else {
            self.open = Some((String::new(), text.to_owned()));
        }
    }

    fn code(&mut self, line: &str) {
        self.page.fold(vec![(line.to_owned(), self.look.key())]);
    }

    fn close(&mut self) {
        if let Some((label, text)) = self.open.take() {
            let text = self.inline(&text);
            self.page.labelled(&(label, Style::default()), &text, Style::default());
        }
    }

    fn row(&mut self, row: &str) {
        let cells = row.trim_end().trim_end_matches('|').split(" | ");
        let cells: Vec<_> = cells.map(|cell| self.inline(cell.trim())).collect();
        let Some(headings) = self.headings.clone() else {
            self.headings = Some(cells);
            return;
        };
        if cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | ' ' | '|'))) {
            return;
        }
        for (at, cell) in cells.iter().enumerate() {
            match headings.get(at).filter(|_| at > 0) {
                None => {
                    self.page.labelled(&("- ".to_owned(), Style::default()), cell, Style::default())
                }
                Some(heading) => {
                    let label = format!("  {heading}: ");
                    self.page.labelled(
                        &("  ".to_owned(), Style::default()),
                        &format!("{}{cell}", label.trim_start()),
                        Style::default(),
                    );
                }
            }
        }
    }

    /// Links become their text and a number, emphasis goes.
    fn inline(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, link)) = rest.split_once('[') {
            out.push_str(before);
            let parts = link.split_once("](").and_then(|(name, after)| {
                let (target, after) = after.split_once(')')?;
                (!name.contains('[')).then_some((name, target, after))
            });
            let Some((name, target, after)) = parts else {
                out.push('[');
                rest = link;
                continue;
            };
            out.push_str(name);
            if target.starts_with("http") {
                let known = self.links.iter().position(|link| link == target);
                let number = known.unwrap_or(self.links.len()) + 1;
                if known.is_none() {
                    self.links.push(target.to_owned());
                }
                out.push_str(&format!("[{number}]"));
            }
            rest = after;
        }
        out.push_str(rest);
        out.replace("**", "")
    }

    fn end(mut self) {
        self.close();
        self.page.blank();
        for (number, link) in self.links.iter().enumerate() {
            let label = format!("[{}] ", number + 1);
            self.page.fold(vec![(label, Style::default()), (link.clone(), self.look.key())]);
        }
    }
}

/// The label of a list's item, and its text.
fn item(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let label = match text.as_bytes() {
        [b'-' | b'*', b' ', ..] => 2,
        _ if digits > 0 && text[digits..].starts_with(". ") => digits + 2,
        _ => return None,
    };
    Some(text.split_at(label))
}

trait AsciiEnd {
    fn is_ascii_end(&self) -> bool;
}

impl AsciiEnd for String {
    fn is_ascii_end(&self) -> bool {
        self.ends_with(|c: char| c.is_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, width: usize) -> Vec<String> {
        let mut page = Page::new(width);
        write(&mut page, text, Look { color: false });
        page.lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paragraphs_flow_items_hang_and_code_stays() {
        let text =
            "# Title\n\none\ntwo **three**\n\n- item\n  more of it\n\n    code  x\n中文\n一行";
        let lines = [
            "Title",
            "",
            "one two three",
            "",
            "- item more",
            "  of it",
            "",
            "  code  x",
            "中文一行",
            "",
        ];
        assert_eq!(shown(text, 14), lines);
    }

    #[test]
    fn a_picture_stays_as_it_was_drawn() {
        let text = "see\n\n    a   b\n    |-->|\n    - - -\n    1. 2\n\nend\n";
        let lines = ["see", "", "  a   b", "  |-->|", "  - - -", "  1. 2", "", "end", ""];
        assert_eq!(shown(text, 14), lines);
    }

    #[test]
    fn links_are_numbered_and_rows_of_a_table_are_items() {
        let text = "see [`A`](https://a) and [b](https://b), [`A`](https://a)\n\n\
            | what | why |\n| --- | --- |\n| x | y |\n";
        let lines = [
            "see `A`[1] and b[2], `A`[1]",
            "",
            "- x",
            "  why: y",
            "",
            "[1] https://a",
            "[2] https://b",
        ];
        assert_eq!(shown(text, 40), lines);
    }
}
