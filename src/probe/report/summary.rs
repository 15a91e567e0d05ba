//! What a batch adds up to, for a person.

use colored::Colorize;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, TableStyle,
};

use super::super::Finished;
use super::super::observe::BackendSource;
use super::super::tally::{Change, Headers, Seen, Tally};
use super::View;
use super::changes::mark;
use super::layout::{self, harmless, pad, pad_left, width, wrap};
use super::table::{name, status};
use super::words::Words;

/// The longest bar, in columns.
const BAR: usize = 30;

/// A bar in less room than this shows nothing.
const SHORTEST_BAR: usize = 8;

/// Headers that the table lists.
const LISTED: usize = 60;

/// Below so many columns, the sign alone says what happened to a header.
const NARROW: usize = 60;

pub(super) fn write(
    text: &mut String,
    finished: &Finished,
    echoed: bool,
    view: View,
    words: &Words,
) {
    let tally = &finished.tally;
    text.push_str(&format!("\n{}\n", words.summary.bold()));
    let seconds = finished.elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = (seconds > 0.0 && tally.sent() > 1).then(|| tally.sent() as f64 / seconds);
    let elapsed = layout::duration(finished.elapsed);
    let totals = words.totals(tally.succeeded, tally.failed, &elapsed, rate);
    paragraph(text, &totals, "  ", view);
    if let Some(in_flight) = finished.interrupted {
        paragraph(text, &words.in_flight(in_flight), "  ", view);
    }
    statuses(text, tally, view, words);
    backends(text, tally, view, words);
    latencies(text, tally, view, words);
    failures(text, tally, view, words);
    headers(text, tally, view, words);
    notes(text, tally, echoed, view, words);
}

fn heading(text: &mut String, word: &str) {
    text.push_str(&format!("\n{}\n", word.bold()));
}

fn paragraph(text: &mut String, words: &str, indent: &str, view: View) {
    let columns = view.width.map(|columns| columns.saturating_sub(indent.len()));
    for line in wrap(words, columns) {
        text.push_str(indent);
        text.push_str(&line);
        text.push('\n');
    }
}

fn statuses(text: &mut String, tally: &Tally, view: View, words: &Words) {
    if tally.statuses.is_empty() {
        return;
    }
    heading(text, words.status);
    for (code, count) in &tally.statuses {
        text.push_str(&format!("  {}  {count}\n", status(*code)));
    }
    if tally.error_statuses() > 0 {
        paragraph(text, &words.error_statuses(tally.error_statuses()), "  ", view);
    }
}

/// A bar for each backend's share of the answers.
fn backends(text: &mut String, tally: &Tally, view: View, words: &Words) {
    let mut rows: Vec<(String, u64, bool)> = tally
        .backends
        .iter()
        .map(|((backend, source), count)| (name(backend, *source), *count, true))
        .collect();
    if tally.backend_others > 0 {
        rows.push((words.others.to_owned(), tally.backend_others, true));
    }
    if tally.backend_unknown > 0 {
        rows.push((words.unknown.to_owned(), tally.backend_unknown, false));
    }
    if rows.is_empty() {
        return;
    }
    heading(text, words.backends);
    let longest = rows.iter().map(|row| row.1).max().unwrap_or(1);
    let numbers = longest.to_string().len();
    let names = rows.iter().map(|row| width(&row.0)).max().unwrap_or(0);
    // Beside a bar stand two columns between parts, the count and the share.
    let room = |before: usize| {
        let beside = before + 2 + numbers + 2 + 6;
        view.width.map_or(BAR, |columns| columns.saturating_sub(beside).min(BAR))
    };
    // Where a name leaves no room for a bar, the bar stands below it.
    let below = room(2 + names + 2) < SHORTEST_BAR;
    let room = if below { room(4) } else { room(2 + names + 2) };
    for (name, count, known) in rows {
        #[allow(clippy::cast_precision_loss)]
        let share = format!("{:.1}%", 100.0 * count as f64 / tally.succeeded as f64);
        let (count_text, share) = (pad_left(&count.to_string(), numbers), pad_left(&share, 6));
        let bar = pad(&bar(count, longest, room), room);
        let bar = if known { bar.cyan() } else { bar.dimmed() };
        let name = if below { format!("{name}\n  ") } else { pad(&name, names) };
        text.push_str(&format!("  {name}  {bar}  {count_text}  {share}\n"));
    }
    if tally.backends.keys().any(|(_, source)| *source == BackendSource::XServedBy) {
        paragraph(text, words.claim, "  ", view);
    }
}

/// A bar in proportion to the longest, in eighths of a column.
fn bar(count: u64, longest: u64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let room = room as u128 * 8;
    let eighths = u128::from(count) * room / u128::from(longest.max(1));
    // What is there at all is seen.
    let eighths = if room > 0 { eighths.max(1) } else { 0 };
    let whole = usize::try_from(eighths / 8).unwrap_or(BAR);
    let rest = usize::try_from(eighths % 8).unwrap_or(0);
    format!("{}{}", "█".repeat(whole), EIGHTHS[rest])
}

fn latencies(text: &mut String, tally: &Tally, view: View, words: &Words) {
    let times = [
        ("p50", tally.latency(0.5)),
        ("p90", tally.latency(0.9)),
        ("p99", tally.latency(0.99)),
        ("max", tally.longest()),
    ];
    let known: Vec<String> = times
        .into_iter()
        .filter_map(|(label, time)| Some(format!("{label} {}", layout::duration(time?))))
        .collect();
    if known.is_empty() {
        return;
    }
    heading(text, words.latency);
    let line = known.join("   ");
    if view.width.is_none_or(|columns| width(&line) + 2 <= columns) {
        text.push_str(&format!("  {line}\n"));
    } else {
        known.iter().for_each(|time| text.push_str(&format!("  {time}\n")));
    }
}

fn failures(text: &mut String, tally: &Tally, view: View, words: &Words) {
    if tally.failures.is_empty() {
        return;
    }
    heading(text, words.failures);
    for (kind, (count, message)) in &tally.failures {
        text.push_str(&format!("  {}  {count}\n", words.kind(*kind).red()));
        paragraph(text, &harmless(message), "    ", view);
    }
}

fn headers(text: &mut String, tally: &Tally, view: View, words: &Words) {
    let directions = [(words.request, &tally.request), (words.response, &tally.response)];
    let total: usize = directions.iter().map(|(_, headers)| headers.seen.len()).sum();
    if total == 0 {
        return;
    }
    heading(text, words.headers);
    let mut table = comfy_table::Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule));
    match view.width.and_then(|columns| u16::try_from(columns).ok()) {
        Some(columns) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    let colour = colored::control::SHOULD_COLORIZE.should_colorize();
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let bold = |word: &str| Cell::new(word).add_attribute(Attribute::Bold);
    let narrow = view.width.is_some_and(|columns| columns < NARROW);
    let change = if narrow { "" } else { words.change };
    table.set_header([words.direction, change, words.header, words.seen].map(bold));
    for (direction, headers) in directions {
        for seen in headers.seen.iter().take(LISTED) {
            table.add_row(row(direction, headers, seen, narrow, words));
        }
    }
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let left_out = directions
        .iter()
        .map(|(_, headers)| headers.seen.len().saturating_sub(LISTED) as u64 + headers.others)
        .sum();
    if left_out > 0 {
        paragraph(text, &words.headers_left_out(left_out), "  ", view);
    }
}

fn row(direction: &str, headers: &Headers, seen: &Seen, narrow: bool, words: &Words) -> [Cell; 4] {
    let colour = match seen.change {
        Change::Added => Color::DarkGreen,
        Change::Changed => Color::DarkYellow,
        Change::Removed => Color::DarkRed,
    };
    let mark = mark(seen.change);
    let change =
        if narrow { mark.to_string() } else { format!("{mark} {}", words.change(seen.change)) };
    let value = |value: &Option<String>| value.as_deref().map_or(words.varies.into(), harmless);
    let value = match seen.change {
        Change::Changed => format!("{} → {}", value(&seen.from), value(&seen.value)),
        _ => value(&seen.value),
    };
    [
        Cell::new(direction),
        Cell::new(change).fg(colour),
        Cell::new(format!("{}: {value}", harmless(&seen.name))),
        Cell::new(format!("{}/{}", seen.count, headers.known)).set_alignment(CellAlignment::Right),
    ]
}

/// What is not known, why, and what would make it known.
fn notes(text: &mut String, tally: &Tally, echoed: bool, view: View, words: &Words) {
    let mut notes = Vec::new();
    if echoed {
        notes.push(words.echo_note().to_owned());
    }
    for (request, headers) in [(true, &tally.request), (false, &tally.response)] {
        for (why, count) in &headers.unknown {
            notes.push(words.why_unknown(request, *why, *count));
        }
    }
    for note in notes {
        text.push('\n');
        paragraph(text, &note, "", view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion_and_never_wider_than_their_room() {
        assert_eq!(bar(8, 8, 4), "████");
        assert_eq!(bar(4, 8, 4), "██");
        assert_eq!(bar(3, 8, 4), "█▌");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, BAR), "█".repeat(BAR));
        assert_eq!(bar(1, 1, 0), "");
    }
}
