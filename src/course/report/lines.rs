//! A report as lines, for a terminal of any width and for a pipe.

use colored::Colorize;

use super::page::Page;
use super::{Told, again, as_called, figures};
use crate::course::trial::{Outcome, Report};
use crate::judge::{CheckVerdict, State, Verdict};
use crate::language::Language;

/// The report as lines. `width` is the terminal's, in columns; without one,
/// nothing is wrapped. `invocation` is how this program was called.
pub fn lines(
    report: &Report,
    language: Language,
    width: Option<usize>,
    invocation: &str,
) -> Vec<String> {
    let mut page = Page::new(width, language);
    let title = report.lesson.title.in_(language);
    page.text("", &format!("{}  {title}", report.lesson.id()).bold().to_string());
    match &report.result {
        Outcome::NotBuilt(failure, said) => {
            for diagnostic in said {
                page.lines.extend(diagnostic.rendered.trim_end().lines().map(str::to_owned));
                page.blank();
            }
            page.text("  ", &failure.explain(language).red().to_string());
            page.lines.extend(failure.detail.lines().map(|line| format!("    {line}")));
        }
        Outcome::Judged(verdict) => page.verdict(report, verdict, invocation),
    }
    page.lines
}

// === impl Page ===

impl Page {
    fn verdict(&mut self, report: &Report, verdict: &Verdict, invocation: &str) {
        for text in &report.lesson.checks {
            let decided = verdict.checks.iter().find(|check| check.id == text.id);
            let mark = match decided.map(CheckVerdict::state) {
                Some(State::Pass) => "✓".green(),
                Some(State::Fail) => "✗".red(),
                Some(State::Inconclusive) => "?".yellow(),
                None => "-".dimmed(),
            };
            self.text(&format!("  {mark} "), text.title.in_(self.language));
            let measured = decided.and_then(|check| figures(report.lesson, check, self.language));
            self.text("    ", &measured.unwrap_or_default().dimmed().to_string());
        }
        let language = self.language;
        if let Some((check, told)) = verdict
            .first_finding()
            .and_then(|check| Some((check, Told::of(report.lesson, check, language)?)))
        {
            self.blank();
            self.finding(report, check, &told, invocation);
            self.blank();
            self.say("Same run again:", "同样的检查再来一次：");
            self.command(&again(report, invocation));
            return;
        }
        let took = verdict.took.as_secs_f64();
        self.blank();
        let passed = match language {
            Language::En => format!("Passed, {} checks in {took:.1} s.", verdict.checks.len()),
            Language::Zh => format!("通过：{} 项检查，用时 {took:.1} 秒。", verdict.checks.len()),
        };
        self.text("", &passed.green().bold().to_string());
        self.text("", report.lesson.proved.in_(language));
    }

    fn finding(&mut self, report: &Report, check: &CheckVerdict, told: &Told, invocation: &str) {
        let title = report.lesson.check(check.id).map_or("", |text| text.title.in_(self.language));
        let id = check.diagnosis().map_or("", |diagnosis| diagnosis.id);
        let label = match check.state() {
            State::Inconclusive => "?".yellow().bold(),
            _ => "✗".red().bold(),
        };
        self.text(&format!("{label} "), &title.bold().to_string());
        self.text("  ", &format!("{}: {id}", check.id).dimmed().to_string());
        self.text("  ", &told.what);
        self.text("  ", &told.why);
        if !told.next.is_empty() {
            self.text("  → ", &told.next);
        }
        if !told.facts.is_empty() {
            self.blank();
        }
        let widest = told.facts.iter().map(|(label, _)| textwrap::core::display_width(label)).max();
        for (label, value) in &told.facts {
            let padding = widest.unwrap_or(0) - textwrap::core::display_width(label);
            let label = format!("  {}{}  ", label.dimmed(), " ".repeat(padding));
            self.text(&label, value);
        }
        if !told.repeat.is_empty() {
            self.blank();
            self.say("By hand, each in a terminal of its own:", "手动重现（每条命令用一个终端）：");
            for command in &told.repeat {
                self.command(&as_called(command, invocation));
            }
        }
    }
}
