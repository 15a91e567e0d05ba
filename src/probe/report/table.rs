//! The report for a person: each request, then what they add up to.

use std::io::{self, Write};

use colored::{ColoredString, Colorize};

use super::super::observe::{BackendSource, Finding, Witness};
use super::super::plan::Plan;
use super::super::send::{Answered, Record};
use super::super::tally::Change;
use super::super::{Backend, Finished};
use super::changes::{Line, Saying, Shown};
use super::layout::{self, harmless, pad, pad_left, width, wrap};
use super::words::Words;
use super::{View, failure_label, summary};

/// Requests that are listed; the summary counts the rest as well.
const LISTED: usize = 20;

pub(in crate::probe) struct Table<W: Write> {
    view: View,
    words: &'static Words,
    /// The requests with the lowest numbers, in their order.
    listed: Vec<Record>,
    records: u64,
    echoed: bool,
    out: W,
}

// === impl Table ===

impl<W: Write> Table<W> {
    pub(super) fn new(view: View, out: W) -> Self {
        let words = Words::of(view.language);
        Self { view, words, listed: Vec::new(), records: 0, echoed: false, out }
    }

    pub(super) fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let title = format!("pingora-lab probe {}", plan.target);
        for line in wrap(&title, self.view.width) {
            writeln!(self.out, "{}", line.bold())?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }

    /// Keeps the request for the list if its number belongs there. They end
    /// in another order than they began.
    pub(super) fn record(&mut self, record: Record) {
        self.records += 1;
        self.echoed |= record
            .outcome
            .as_ref()
            .is_ok_and(|answered| matches!(&answered.request, Ok((_, Witness::Echo))));
        if record.number > LISTED as u64 {
            return;
        }
        let at = self.listed.partition_point(|other| other.number < record.number);
        self.listed.insert(at, record);
    }

    pub(super) fn end(mut self, finished: &Finished) -> io::Result<()> {
        let listed = std::mem::take(&mut self.listed);
        let mut text = String::new();
        self.list(&listed, &mut text);
        summary::write(&mut text, finished, self.echoed, self.view, self.words);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn list(&self, listed: &[Record], text: &mut String) {
        let columns = Columns::of(listed, self.words);
        let (mut requests, mut responses) = (Shown::default(), Shown::default());
        let mut failed: Option<(u64, String)> = None;
        for record in listed {
            let number = pad_left(&format!("#{}", record.number), columns.number);
            let time = layout::duration(record.duration);
            match &record.outcome {
                Ok(answered) => {
                    let time = pad_left(&time, columns.time);
                    let status = status(answered.status);
                    let name = backend(answered.backend.as_ref(), self.words);
                    let paint = |name: &str| match answered.backend {
                        Some(_) => name.cyan(),
                        None => name.dimmed(),
                    };
                    let number = number.bold();
                    if self.view.width.is_none_or(|width| columns.total() <= width) {
                        let name = paint(&pad(&name, columns.backend));
                        push(text, &format!("{number}  {status}  {name}  {time}"));
                    } else {
                        push(text, &format!("{number}  {status}  {time}"));
                        let room = self.view.width.map(|width| width.saturating_sub(4));
                        for part in wrap(&name, room) {
                            push(text, &format!("    {}", paint(&part)));
                        }
                    }
                    self.findings(record.number, answered, &mut requests, &mut responses, text);
                }
                Err(failure) => {
                    let label = failure_label(failure, self.words).red();
                    push(text, &format!("{}  {label}  {time}", number.bold()));
                    let message = match &failed {
                        Some((first, known)) if *known == failure.message => {
                            Said::quiet(&self.words.same_as(*first))
                        }
                        _ => {
                            failed = Some((record.number, failure.message.clone()));
                            Said { text: harmless(&failure.message), tone: Tone::Plain }
                        }
                    };
                    self.indented("", &[message], text);
                }
            }
        }
        let left_out = self.records - listed.len() as u64;
        if left_out > 0 {
            text.push('\n');
            for line in wrap(&self.words.left_out(left_out), self.view.width) {
                push(text, &line);
            }
        }
    }

    fn findings(
        &self,
        number: u64,
        answered: &Answered,
        requests: &mut Shown,
        responses: &mut Shown,
        text: &mut String,
    ) {
        let directions = [
            (self.words.request, &answered.request, requests),
            (self.words.response, &answered.response, responses),
        ];
        for (label, finding, shown) in directions {
            let lines = self.finding(number, finding, shown);
            self.indented(label, &lines, text);
        }
    }

    fn finding(&self, number: u64, finding: &Finding, shown: &mut Shown) -> Vec<Said> {
        let Ok((difference, _)) = finding else {
            return vec![Said::quiet(self.words.unknown)];
        };
        match shown.say(number, Line::list(difference)) {
            Saying::InFull(lines) if lines.is_empty() => vec![Said::quiet(self.words.unchanged)],
            Saying::InFull(lines) => lines.iter().map(Said::change).collect(),
            Saying::AsIn(first, lines) if lines.is_empty() => {
                vec![Said::quiet(&self.words.same_as(first))]
            }
            Saying::AsIn(first, lines) => {
                let head = Said::quiet(&self.words.same_except(first));
                std::iter::once(head).chain(lines.iter().map(Said::change)).collect()
            }
        }
    }

    /// Lines below a request, beside their label, within the terminal's width.
    fn indented(&self, label: &str, lines: &[Said], text: &mut String) {
        let labels = width(self.words.request).max(width(self.words.response));
        let indent = if label.is_empty() { 4 } else { 4 + labels + 2 };
        let columns = self.view.width.map(|columns| columns.saturating_sub(indent + 2));
        let mut label = pad(&format!("    {label}"), indent);
        for said in lines {
            for (index, part) in wrap(&said.text, columns).into_iter().enumerate() {
                // What continues a header stands under its name.
                let hang = match said.tone {
                    Tone::Of(_) if index > 0 => "  ",
                    _ => "",
                };
                push(text, &format!("{label}{hang}{}", said.tone.paint(&part)));
                label = " ".repeat(indent);
            }
        }
    }
}

/// A line below a request.
struct Said {
    text: String,
    tone: Tone,
}

/// How a line looks.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Quiet,
    Of(Change),
}

impl Said {
    fn quiet(text: &str) -> Self {
        Self { text: text.to_owned(), tone: Tone::Quiet }
    }

    fn change(line: &Line) -> Self {
        Self { text: line.text(), tone: Tone::Of(line.change) }
    }
}

impl Tone {
    fn paint(self, text: &str) -> ColoredString {
        match self {
            Self::Plain => text.normal(),
            Self::Quiet => text.dimmed(),
            Self::Of(change) => tint(text, change),
        }
    }
}

/// The widths that the lines of requests share.
struct Columns {
    number: usize,
    backend: usize,
    time: usize,
}

impl Columns {
    fn of(listed: &[Record], words: &Words) -> Self {
        let mut columns = Self { number: 0, backend: 0, time: 0 };
        for record in listed {
            columns.number = columns.number.max(record.number.to_string().len() + 1);
            if let Ok(answered) = &record.outcome {
                let backend = backend(answered.backend.as_ref(), words);
                columns.backend = columns.backend.max(width(&backend));
                columns.time = columns.time.max(width(&layout::duration(record.duration)));
            }
        }
        columns
    }
}

impl Columns {
    /// The whole line: number, status, backend, time, and what is between.
    fn total(&self) -> usize {
        self.number + 2 + 3 + 2 + self.backend + 2 + self.time
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// A backend's name; a star says that it is the proxy's claim.
fn backend(backend: Option<&Backend>, words: &Words) -> String {
    match backend {
        Some(backend) => name(&backend.name, backend.source),
        None => words.unknown.to_owned(),
    }
}

pub(super) fn name(name: &str, source: BackendSource) -> String {
    let star = if source == BackendSource::XServedBy { "*" } else { "" };
    format!("{}{star}", harmless(name))
}

pub(super) fn status(status: u16) -> ColoredString {
    let text = status.to_string();
    match status {
        400..500 => text.yellow(),
        500.. => text.red(),
        _ => text.green(),
    }
}

pub(super) fn tint(text: &str, change: Change) -> ColoredString {
    match change {
        Change::Added => text.green(),
        Change::Changed => text.yellow(),
        Change::Removed => text.red(),
    }
}
