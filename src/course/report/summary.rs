//! Many stages: a line for each, then the sum and the first that is not passed, on one
//! screen of 80 columns and 24 lines.

use std::time::Duration;

use colored::Colorize;
use textwrap::core::display_width;

use super::page::Page;
use super::{Told, again};
use crate::course::build::Level;
use crate::course::lesson;
use crate::course::trial::{Outcome, Report};
use crate::judge::{CheckVerdict, State};
use crate::language::Language;

/// The lines of a screen, but for the one that the shell's prompt takes.
const ROWS: usize = 23;

/// One line on a stage: its state, the checks passed of all, how long they took,
/// and as much of the first finding as has room in `width` columns.
pub fn stage_line(report: &Report, language: Language, width: Option<usize>) -> String {
    let mark = match report.state() {
        State::Pass => "✓".green(),
        State::Fail => "✗".red(),
        State::Inconclusive => "?".yellow(),
    };
    let widest = lesson::all().iter().map(|lesson| lesson.id().len()).max().unwrap_or(0);
    let (passed, of) = (report.passed().len(), report.lesson.checks.len());
    let took = seconds(took(report), language);
    let columns = |gap: &str| {
        let counts = format!("{passed}/{of}");
        format!("{:widest$}{gap}{counts:>5}{gap}{took}", report.lesson.id())
    };
    let start = match (columns("  "), width) {
        (start, Some(width)) if 2 + display_width(&start) > width => columns(" "),
        (start, _) => start,
    };
    let found = match &report.result {
        Outcome::Judged(verdict) => verdict.first_finding().map(|check| {
            let id = check.diagnosis().map_or("", |diagnosis| diagnosis.id);
            format!("{}: {id}", check.id)
        }),
        Outcome::NotBuilt(failure, _) => Some(first_sentence(&failure.explain(language))),
    };
    let room = width.unwrap_or(usize::MAX).saturating_sub(2 + display_width(&start) + 2);
    match found.filter(|found| display_width(found) <= room) {
        Some(found) => format!("{mark} {start}  {}", found.dimmed()),
        None => format!("{mark} {start}"),
    }
}

/// What stands below the lines of the stages, which may have left the screen by then:
/// the sum, which stages are not passed, and of the first that failed (else was
/// inconclusive) what was found, why, and what to do next. It fits a screen of 80
/// columns; what has no room is told by the command at its end.
pub fn summary(
    reports: &[Report],
    language: Language,
    width: Option<usize>,
    invocation: &str,
) -> Vec<String> {
    let mut page = Page::new(width, language);
    page.blank();
    page.text("", &sum(reports, language));
    page.text("", &others(reports, language));
    let with = |state| reports.iter().find(move |report| report.state() == state);
    let Some(first) = with(State::Fail).or_else(|| with(State::Inconclusive)) else {
        return page.lines;
    };
    page.blank();
    title(&mut page, first);
    // The command is not wrapped by us, but it is by the terminal.
    let command = format!("    {}", again(first, invocation));
    let command_rows = width.map_or(1, |width| display_width(&command).div_ceil(width.max(1)));
    let room = ROWS.saturating_sub(page.lines.len() + command_rows).max(1);
    let body = body(first, language, width, room);
    page.lines.extend(body);
    page.lines.push(command);
    page.lines
}

/// Which stages failed and which were inconclusive, where there are several.
fn others(reports: &[Report], language: Language) -> String {
    let between = if language == Language::En { ", " } else { "、" };
    let numbers = |state| -> Vec<String> {
        let with = reports.iter().filter(|report| report.state() == state);
        with.map(|report| format!("{:02}", report.lesson.number())).collect()
    };
    let (failed, inconclusive) = (numbers(State::Fail), numbers(State::Inconclusive));
    if failed.len() + inconclusive.len() < 2 {
        return String::new();
    }
    let told = |words: [&str; 2], numbers: Vec<String>| match (numbers.is_empty(), language) {
        (true, _) => String::new(),
        (false, Language::En) => format!("{}: {}. ", words[0], numbers.join(between)),
        (false, Language::Zh) => format!("{}：{}。", words[1], numbers.join(between)),
    };
    let text = told(["Failed", "未通过"], failed) + &told(["Inconclusive", "无结论"], inconclusive);
    text.trim_end().to_owned()
}

fn sum(reports: &[Report], language: Language) -> String {
    let passed = reports.iter().filter(|report| report.state() == State::Pass).count();
    let checks: usize = reports.iter().map(|report| report.passed().len()).sum();
    let of: usize = reports.iter().map(|report| report.lesson.checks.len()).sum();
    let judging = seconds(reports.iter().map(took).sum(), language);
    let build = reports.iter().map(|report| report.build).max().unwrap_or_default();
    let seed = reports.first().map_or(0, |report| report.seed);
    let stages = reports.len();
    let (judging, build) = (judging.trim_start(), seconds(build, language));
    let build = build.trim_start();
    let text = match language {
        Language::En => format!(
            "{passed} of {stages} stages passed, {checks} of {of} checks; built in {build}, \
             judged in {judging}, seed {seed}."
        ),
        Language::Zh => format!(
            "{stages} 个阶段通过 {passed} 个，{of} 项检查通过 {checks} 项；编译 {build}，检查 \
             {judging}，种子 {seed}。"
        ),
    };
    let text = text.bold();
    if passed == stages { text.green().to_string() } else { text.to_string() }
}

/// What the first finding is about.
fn title(page: &mut Page, report: &Report) {
    let label = match report.state() {
        State::Inconclusive => "?".yellow().bold(),
        _ => "✗".red().bold(),
    };
    let id = report.lesson.id();
    let found = report.verdict().and_then(|verdict| verdict.first_finding());
    let about = found.map(|check| {
        let title = report.lesson.check(check.id).map(|text| text.title.in_(page.language));
        title.unwrap_or(check.id).to_owned()
    });
    let about = about.unwrap_or_else(|| report.lesson.title.in_(page.language).to_owned());
    page.text(&format!("{label} "), &format!("{id}  {about}").bold().to_string());
}

/// What was found, why, and what to do next, in so many lines: the reason is the
/// first to go, then the end of what is left.
fn body(report: &Report, language: Language, width: Option<usize>, room: usize) -> Vec<String> {
    let [what, why, next] = sentences(report, language);
    let wrapped = |parts: &[(&str, &str)]| {
        let mut page = Page::new(width, language);
        parts.iter().for_each(|(label, text)| page.text(label, text));
        page.lines
    };
    let all = wrapped(&[("  ", &what), ("  ", &why), ("  → ", &next)]);
    if all.len() <= room {
        return all;
    }
    let mut lines = wrapped(&[("  ", &what), ("  → ", &next)]);
    if lines.len() > room {
        lines.truncate(room);
        if let Some(last) = lines.last_mut() {
            *last = cut(last, width.unwrap_or(80));
        }
    }
    lines
}

/// A line that goes on, with a sign that it does.
fn cut(line: &str, width: usize) -> String {
    let mut line = line.to_owned();
    while display_width(&line) + 2 > width && line.pop().is_some() {}
    line + " …"
}

fn sentences(report: &Report, language: Language) -> [String; 3] {
    match &report.result {
        Outcome::Judged(verdict) => {
            let told = |check: &CheckVerdict| Told::of(report.lesson, check, language);
            let told = verdict.first_finding().and_then(told).unwrap_or_default();
            [told.what, told.why, told.next]
        }
        Outcome::NotBuilt(failure, said) => {
            let error = said.iter().find(|diagnostic| diagnostic.level == Level::Error);
            let detail = match error.map(|error| (&error.summary, &error.place)) {
                Some((summary, Some(place))) => {
                    format!("{}:{}: {summary}", place.file.display(), place.line)
                }
                Some((summary, None)) => summary.clone(),
                None => failure.detail.lines().next().unwrap_or_default().to_owned(),
            };
            [failure.explain(language), detail, String::new()]
        }
    }
}

/// How long the checks took.
fn took(report: &Report) -> Duration {
    report.verdict().map_or(Duration::ZERO, |verdict| verdict.took)
}

fn seconds(duration: Duration, language: Language) -> String {
    let seconds = duration.as_secs_f64();
    match language {
        Language::En => format!("{seconds:>5.1} s"),
        Language::Zh => format!("{seconds:>5.1} 秒"),
    }
}

fn first_sentence(text: &str) -> String {
    let end = text.find([':', '.', '：', '。']).unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
