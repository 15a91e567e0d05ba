//! What was proved, as a file in Markdown: for whoever is to believe it, and to
//! make it again.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Setting, Told, again, figures};
use crate::course::replace::{may_replace, replace};
use crate::course::trial::{Outcome, Report};
use crate::judge::{CheckVerdict, State};
use crate::language::Language;

/// Where a report is to be written.
#[derive(Clone, Debug)]
pub struct ReportFile {
    path: PathBuf,
}

/// Why a report can't be written there.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be written to {path}: {cause}", path = path.display())]
pub struct ReportFileError {
    path: PathBuf,
    cause: io::Error,
}

// === impl ReportFile ===

impl ReportFile {
    /// A file of this path, in place of any that is there. Nothing is written yet,
    /// but that it can be is tried.
    ///
    /// # Errors
    ///
    /// Where it can't: better known now than after minutes of work.
    pub fn new(path: PathBuf) -> Result<Self, ReportFileError> {
        match may_replace(&path) {
            Ok(()) => Ok(Self { path }),
            Err(cause) => Err(ReportFileError { path, cause }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it: whole, or what was there stays.
    ///
    /// # Errors
    ///
    /// Where it can't be written after all.
    pub fn write(&self, text: &str) -> Result<(), ReportFileError> {
        replace(&self.path, text.as_bytes())
            .map_err(|cause| ReportFileError { path: self.path.clone(), cause })
    }
}

// === impl ReportFileError ===

impl ReportFileError {
    /// The state, the reason, the next step.
    pub fn explain(&self, language: Language) -> String {
        let (path, cause) = (self.path.display(), &self.cause);
        match language {
            Language::En => match cause.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    format!("{self}; make room, or name a file on another disk")
                }
                _ => format!("{self}; name a file in a folder that you can write to"),
            },
            Language::Zh => format!("无法把报告写入 {path}：{cause}；请换一个可以写入的路径"),
        }
    }
}

/// The report on these stages, in Markdown.
pub fn proof(
    reports: &[Report],
    setting: &Setting,
    language: Language,
    invocation: &str,
) -> String {
    let mut text = String::new();
    let _ = head(&mut text, reports, setting, language);
    for report in reports {
        let _ = stage(&mut text, report, language, invocation);
    }
    text
}

fn head(
    text: &mut String,
    reports: &[Report],
    setting: &Setting,
    language: Language,
) -> std::fmt::Result {
    let say = |en: &'static str, zh: &'static str| if language == Language::En { en } else { zh };
    let unknown = say("not known", "未知");
    writeln!(text, "# {}\n", say("What was proved", "检查报告"))?;
    writeln!(
        text,
        "{}\n",
        say(
            "Each program was started and given real traffic. What is said of it comes from what \
             the backends behind it received and what the clients in front of it got back.",
            "每个程序都被真正启动，并收到真实的请求。结论只取决于它后面的后端收到了什么、前面的\
             客户端拿到了什么。"
        )
    )?;
    let passed = reports.iter().filter(|report| report.state() == State::Pass).count();
    let stages = reports.len();
    let result = match language {
        Language::En => format!("{passed} of {stages} stages passed"),
        Language::Zh => format!("{stages} 个阶段，通过 {passed} 个"),
    };
    let when = setting.when.strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    let machine = match (setting.processors, language) {
        (None, _) => setting.system.clone(),
        (Some(1), Language::En) => format!("{}, 1 CPU", setting.system),
        (Some(count), Language::En) => format!("{}, {count} CPUs", setting.system),
        (Some(count), Language::Zh) => format!("{}，{count} 个 CPU", setting.system),
    };
    let mut rows = vec![
        (say("result", "结果"), result),
        (say("when", "时间"), when),
        (say("machine", "机器"), machine),
        ("pingora-lab", setting.pingora_lab.to_owned()),
    ];
    match reports.iter().find_map(|report| report.command.as_ref()) {
        Some(command) => rows.push((say("judged", "被检查的命令"), code(command))),
        None => {
            let or_unknown = |fact: &Option<String>| fact.clone().unwrap_or(unknown.to_owned());
            rows.push(("pingora", or_unknown(&setting.pingora)));
            rows.push(("rustc", or_unknown(&setting.rustc)));
        }
    }
    writeln!(text, "| | |\n| --- | --- |")?;
    for (name, value) in rows {
        writeln!(text, "| {name} | {} |", cell(&value))?;
    }
    let heads =
        say("| stage | result | checks | seed | time |", "| 阶段 | 结果 | 检查 | 种子 | 用时 |");
    writeln!(text, "\n{heads}\n| --- | --- | ---: | ---: | ---: |")?;
    for report in reports {
        let took = report.verdict().map_or(Duration::ZERO, |verdict| verdict.took);
        writeln!(
            text,
            "| {} | {} | {}/{} | {} | {} |",
            report.lesson.id(),
            in_words(report.state(), language),
            report.passed().len(),
            report.lesson.checks.len(),
            report.seed,
            time(took),
        )?;
    }
    Ok(())
}

fn stage(
    text: &mut String,
    report: &Report,
    language: Language,
    invocation: &str,
) -> std::fmt::Result {
    let say = |en: &'static str, zh: &'static str| if language == Language::En { en } else { zh };
    let (id, title) = (report.lesson.id(), report.lesson.title.in_(language));
    writeln!(text, "\n## {id}  {title}\n")?;
    match &report.result {
        Outcome::NotBuilt(failure, said) => {
            writeln!(text, "{}\n", failure.explain(language))?;
            let rendered = said.iter().map(|diagnostic| diagnostic.rendered.as_str());
            let words: Vec<_> = rendered.chain([failure.detail.as_str()]).collect();
            block(text, words.iter().flat_map(|words| words.lines()))?;
        }
        Outcome::Judged(verdict) => {
            let heads = say("| check | result | seed | time |", "| 检查 | 结果 | 种子 | 用时 |");
            writeln!(text, "{heads}\n| --- | --- | ---: | ---: |")?;
            for check in &report.lesson.checks {
                let decided = verdict.checks.iter().find(|decided| decided.id == check.id);
                let measured = decided.and_then(|check| figures(report.lesson, check, language));
                let measured = measured.map_or_else(String::new, |words| format!(" ({words})"));
                let title = cell(&format!("{}{measured}", check.title.in_(language)));
                let (result, took) = match decided {
                    Some(decided) => (in_words(decided.state(), language), time(decided.took)),
                    None => (say("- not run", "- 未执行"), String::new()),
                };
                writeln!(text, "| `{}` {title} | {result} | {} | {took} |", check.id, report.seed)?;
            }
            for check in &verdict.checks {
                finding(text, report, check, language)?;
            }
        }
    }
    writeln!(text, "\n{}\n", say("The same again:", "同样的检查再来一次："))?;
    block(text, [again(report, invocation).as_str()])
}

fn finding(
    text: &mut String,
    report: &Report,
    check: &CheckVerdict,
    language: Language,
) -> std::fmt::Result {
    let Some(told) = Told::of(report.lesson, check, language) else { return Ok(()) };
    let title = report.lesson.check(check.id).map_or(check.id, |text| text.title.in_(language));
    let id = check.diagnosis().map_or("", |diagnosis| diagnosis.id);
    let mark = if check.state() == State::Inconclusive { "?" } else { "✗" };
    writeln!(text, "\n### {mark} {}\n\n`{}`: `{id}`\n", plain(title), check.id)?;
    for part in [&told.what, &told.why, &told.next] {
        if !part.is_empty() {
            writeln!(text, "{}\n", plain(part))?;
        }
    }
    let facts: Vec<_> =
        told.facts.iter().map(|(label, value)| format!("{label}: {value}")).collect();
    block(text, facts.iter().flat_map(|fact| fact.lines()))
}

/// Lines as they are, which end no block of their own.
fn block<'a>(text: &mut String, lines: impl IntoIterator<Item = &'a str>) -> std::fmt::Result {
    for line in lines {
        let line = plain(line);
        match line.is_empty() {
            true => writeln!(text)?,
            false => writeln!(text, "    {line}")?,
        }
    }
    Ok(())
}

fn in_words(state: State, language: Language) -> &'static str {
    match (state, language) {
        (State::Pass, Language::En) => "✓ pass",
        (State::Pass, Language::Zh) => "✓ 通过",
        (State::Fail, Language::En) => "✗ fail",
        (State::Fail, Language::Zh) => "✗ 未通过",
        (State::Inconclusive, Language::En) => "? inconclusive",
        (State::Inconclusive, Language::Zh) => "? 无法判断",
    }
}

fn time(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// A text within a row of a table.
fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}

fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A text without what a program may have put in to write elsewhere on a screen;
/// colours go, too.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
