//! The compiler's colours, as styles.

use ratatui::style::{Color, Modifier, Style};

use super::page::Piece;

/// Text with escape sequences as lines of styled pieces. Sequences other than
/// those for colours and weight are dropped.
pub fn lines(text: &str) -> Vec<Vec<Piece>> {
    let mut style = Style::default();
    text.lines().map(|line| pieces(line, &mut style)).collect()
}

fn pieces(line: &str, style: &mut Style) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        if !before.is_empty() {
            pieces.push((before.to_owned(), *style));
        }
        let Some(sequence) = after.strip_prefix('[') else {
            rest = after;
            continue;
        };
        let end = sequence.find(|c: char| ('@'..='~').contains(&c));
        let Some(end) = end else { return pieces };
        if sequence[end..].starts_with('m') {
            change(style, &sequence[..end]);
        }
        rest = &sequence[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push((rest.to_owned(), *style));
    }
    pieces
}

fn change(style: &mut Style, parameters: &str) {
    let mut numbers = parameters.split(';').map(|number| number.parse::<u8>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        *style = match number {
            0 => Style::default(),
            1 => style.add_modifier(Modifier::BOLD),
            2 => style.add_modifier(Modifier::DIM),
            3 => style.add_modifier(Modifier::ITALIC),
            4 => style.add_modifier(Modifier::UNDERLINED),
            22 => style.remove_modifier(Modifier::BOLD | Modifier::DIM),
            30..=37 => style.fg(Color::Indexed(number - 30)),
            39 => Style { fg: None, ..*style },
            90..=97 => style.fg(Color::Indexed(number - 90 + 8)),
            38 => match (numbers.next(), numbers.next()) {
                (Some(5), Some(index)) => style.fg(Color::Indexed(index)),
                _ => return,
            },
            _ => *style,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_last_until_they_are_reset_and_other_sequences_go() {
        let text =
            "\u{1b}[0m\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x\u{1b}[2K\n\u{1b}[31my\nz\u{1b}[m!";
        let red = Style::default().fg(Color::Indexed(9)).add_modifier(Modifier::BOLD);
        let dark = Style::default().fg(Color::Indexed(1));
        let plain = Style::default();
        let piece = |text: &str, style| (text.to_owned(), style);
        assert_eq!(
            lines(text),
            vec![
                vec![piece("error", red), piece(": x", plain)],
                vec![piece("y", dark)],
                vec![piece("z", dark), piece("!", plain)],
            ]
        );
    }
}
