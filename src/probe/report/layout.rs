//! Text on a terminal: columns, not bytes.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes; a Chinese character takes two.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text and spaces up to `columns`.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Spaces up to `columns` and the text.
pub(super) fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text with nothing in it that a terminal would obey: what others sent is
/// shown, not run.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            // Bidirectional controls reorder what stands beside them.
            let obeyed =
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped: Box<dyn Iterator<Item = char>> =
                if obeyed { Box::new(c.escape_unicode()) } else { Box::new(std::iter::once(c)) };
            escaped
        })
        .collect()
}

/// The text in lines of at most `columns`, broken after a space where there is
/// one past the line's first third, else where the line is full.
pub(super) fn wrap(text: &str, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns.map(|columns| columns.max(8)) else {
        return vec![text.to_owned()];
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while width(rest) > columns {
        let full = fitting(rest, columns);
        let space = rest[..full].rfind(' ').map(|at| at + 1);
        let cut = space.filter(|&at| width(&rest[..at]) > columns / 3).unwrap_or(full);
        lines.push(rest[..cut].trim_end().to_owned());
        rest = rest[cut..].trim_start();
    }
    lines.push(rest.to_owned());
    lines
}

/// Bytes of the longest beginning that takes at most `columns`, but at least
/// one character.
fn fitting(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > columns && at > 0 {
            return at;
        }
    }
    text.len()
}

/// A duration as people read it: three digits or so, and its unit.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis {
        ..9.995 => format!("{millis:.2} ms"),
        ..999.5 => format!("{millis:.1} ms"),
        _ => format!("{:.2} s", millis / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_lines_up_with_latin() {
        for text in ["后端", "abcd", "", "后b"] {
            assert_eq!(width(&pad(text, 6)), 6, "{text}");
            assert_eq!(width(&pad_left(text, 6)), 6, "{text}");
        }
        assert_eq!(pad("longer", 3), "longer");
    }

    #[test]
    fn no_line_is_wider_than_asked_and_nothing_is_lost() {
        for text in
            ["+ x-request-id: 0123456789abcdef", "反向代理把请求轮询到后端", "a b c d e f g h i"]
        {
            let lines = wrap(text, Some(11));
            assert!(lines.len() > 1);
            assert!(lines.iter().all(|line| width(line) <= 11), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(text));
        }
        assert_eq!(wrap("as it is", None), ["as it is"]);
        assert_eq!(wrap("one two three", Some(10)), ["one two", "three"]);
    }

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}后"), "a\\u{1b}[2Jb\\u{202e}后");
    }

    #[test]
    fn durations_keep_about_three_digits() {
        for (micros, text) in
            [(345, "0.34 ms"), (1100, "1.10 ms"), (123_456, "123.5 ms"), (10_000_000, "10.00 s")]
        {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
