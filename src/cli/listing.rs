//! A short list on the screen: a table where it fits, else one under the other.

use std::io::{self, Write};

use colored::{Color, Colorize};
use comfy_table::{Table, presets};
use unicode_width::UnicodeWidthStr;

/// Rows of three cells under their headings.
pub(super) struct Listing {
    headings: [&'static str; 3],
    rows: Vec<Row>,
}

struct Row {
    cells: [String; 3],
    /// The colour of the last cell.
    color: Option<Color>,
}

/// The columns of the terminal that stdout is, if it is one.
pub(super) fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

impl Listing {
    /// An empty list with these headings.
    pub(super) fn new(headings: [&'static str; 3]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row, with a colour for its last cell.
    pub(super) fn push(&mut self, cells: [String; 3], color: Option<Color>) {
        self.rows.push(Row { cells, color });
    }

    /// Writes the list, for a terminal this wide (columns) if it is one. Padding
    /// goes by the width that is displayed, which for Chinese is twice the number
    /// of characters.
    pub(super) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let lines = self.columns();
        let widest = lines.iter().map(|line| line.width()).max().unwrap_or_default();
        if width.is_some_and(|width| widest > width) {
            return self.write_stacked(out);
        }
        for (number, line) in lines.iter().enumerate() {
            match number.checked_sub(1).and_then(|row| self.rows.get(row)) {
                None => writeln!(out, "{}", line.bold())?,
                Some(row) => {
                    let last = row.cells[2].as_str();
                    let start = line.strip_suffix(last).unwrap_or(line);
                    writeln!(out, "{start}{}", row.last_cell())?;
                }
            }
        }
        Ok(())
    }

    /// Each cell on a line of its own, so that a command can be copied whole.
    fn write_stacked(&self, out: &mut impl Write) -> io::Result<()> {
        for (number, row) in self.rows.iter().enumerate() {
            let [name, place, _] = &row.cells;
            if !name.is_empty() {
                if number > 0 {
                    writeln!(out)?;
                }
                writeln!(out, "{}", name.bold())?;
            }
            writeln!(out, "  {place}\n  {}", row.last_cell())?;
        }
        Ok(())
    }

    /// The table's lines, the first of them the headings.
    fn columns(&self) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(self.headings);
        for row in &self.rows {
            table.add_row(&row.cells);
        }
        for column in table.column_iter_mut() {
            column.set_padding((2, 0));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Row {
    fn last_cell(&self) -> colored::ColoredString {
        let cell = self.cells[2].as_str();
        self.color.map_or_else(|| cell.normal(), |color| cell.color(color))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headings: [&'static str; 3], width: Option<usize>) -> String {
        let mut listing = Listing::new(headings);
        for (name, place) in
            [("jsonplaceholder.typicode.com", "127.0.0.1:6190"), ("短名", "[::1]:1")]
        {
            listing.push([name.to_owned(), place.to_owned(), "curl -i".to_owned()], None);
        }
        let mut out = Vec::new();
        listing.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_line_up_in_both_languages_and_fit_the_terminal() {
        for headings in [["NAME", "ADDRESS", "TRY"], ["名称", "地址", "试一试"]] {
            let wide = shown(headings, None);
            let column =
                |text: &str| wide.lines().find_map(|line| line.split_once(text)).unwrap().0.width();
            assert_eq!(column(headings[1]), column("127.0.0.1:6190"), "{wide}");
            assert_eq!(column(headings[1]), column("[::1]:1"), "{wide}");
            let narrow = shown(headings, Some(30));
            assert!(narrow.lines().all(|line| line.width() <= 30), "{narrow}");
            assert!(narrow.contains("  127.0.0.1:6190\n"), "{narrow}");
        }
    }
}
