//! What the panel shows.

use ratatui::style::{Modifier, Style};

use super::ansi;
use super::markdown;
use super::model::{Model, Panel, Phase};
use super::page::{Look, Page};
use crate::course::build::Level;
use crate::course::lesson;
use crate::course::report::{Told, as_called};
use crate::course::trial::{Outcome, Report};
use crate::judge::{CheckVerdict, State};
use crate::language::Language;

/// What the screen has to know of the workspace and of how it was called.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// What stands before `stages/...` in a path, as it is best typed.
    pub prefix: String,
    /// How this program was called.
    pub invocation: &'static str,
    /// Whether colours are wanted.
    pub color: bool,
}

impl Surroundings {
    /// A stage's file, as it is best typed.
    pub fn file(&self, stage: &str) -> String {
        format!("{}stages/{stage}/main.rs", self.prefix)
    }
}

/// The lines of the panel, and the one that must be seen, if one must.
pub fn lines(model: &Model, around: &Surroundings, width: usize) -> (Page, Option<usize>) {
    let look = Look { color: around.color };
    let mut page = Page::new(width);
    let mut sheet = Sheet { page: &mut page, model, around, look };
    let seen = match model.panel {
        Panel::Verdict => {
            sheet.verdict();
            None
        }
        Panel::Hints => {
            sheet.hints();
            None
        }
        Panel::Lesson => {
            markdown::write(&mut page, model.lesson.readme(model.language), look);
            None
        }
        Panel::Solution => {
            for line in model.lesson.solution().lines() {
                page.fold(vec![(line.to_owned(), Style::default())]);
            }
            None
        }
        Panel::List(at) => Some(sheet.list(at)),
    };
    while page.lines.last().is_some_and(|line| line.width() == 0) {
        page.lines.pop();
    }
    (page, seen)
}

struct Sheet<'a> {
    page: &'a mut Page,
    model: &'a Model,
    around: &'a Surroundings,
    look: Look,
}

// === impl Sheet ===

impl Sheet<'_> {
    fn say(&mut self, en: &str, zh: &str, style: Style) {
        self.page.text(self.model.say(en, zh), style);
    }

    fn verdict(&mut self) {
        let model = self.model;
        match (&model.phase, &model.report, &model.previous) {
            (Phase::Untried(why), ..) => self.page.text(why, self.look.unsure()),
            (_, Some(report), _) => self.report(report),
            // What the compiler says of this save comes first of all.
            (..) if !model.said.is_empty() => self.said(None),
            (_, None, Some(previous)) => {
                self.say(
                    "Of the save before; this one is being judged:",
                    "以下是上一次保存的结果，本次保存正在检查：",
                    self.look.dim().add_modifier(Modifier::ITALIC),
                );
                self.page.blank();
                let from = self.page.lines.len();
                self.report(previous);
                for line in &mut self.page.lines[from..] {
                    let dimmed = line
                        .spans
                        .drain(..)
                        .map(|span| ratatui::text::Span::styled(span.content, self.look.dim()));
                    line.spans = dimmed.collect();
                }
            }
            _ => {
                self.page.text(model.lesson.goal.in_(model.language), Style::default());
                self.page.blank();
                let file = self.around.file(model.lesson.id());
                self.labelled("Your file: ", "你的文件：", &file);
            }
        }
    }

    fn labelled(&mut self, en: &str, zh: &str, text: &str) {
        let label = self.model.say(en, zh).to_owned();
        self.page.labelled(&(label, self.look.dim()), text, Style::default());
    }

    fn report(&mut self, report: &Report) {
        match &report.result {
            Outcome::NotBuilt(..) => self.said(Some(report)),
            Outcome::Judged(verdict) => match verdict.first_finding() {
                Some(check) => {
                    self.finding(report, check);
                    self.warnings();
                }
                None => self.passed(report, verdict.checks.len(), verdict.took.as_secs_f64()),
            },
        }
    }

    /// What the compiler says, errors first; with the end of the build, if it has
    /// ended.
    fn said(&mut self, report: Option<&Report>) {
        let Self { model, look, .. } = *self;
        let said = match report.map(|report| &report.result) {
            Some(Outcome::NotBuilt(failure, said)) => {
                self.page.text(&failure.explain(model.language), look.bad());
                for line in failure.detail.lines() {
                    self.page.fold(vec![(format!("  {line}"), Style::default())]);
                }
                self.page.blank();
                said
            }
            _ => &model.said,
        };
        for level in [Level::Error, Level::Warning] {
            for diagnostic in said.iter().filter(|diagnostic| diagnostic.level == level) {
                self.rendered(&diagnostic.rendered);
            }
        }
    }

    fn rendered(&mut self, text: &str) {
        for line in ansi::lines(text.trim_end()) {
            self.page.fold(line);
        }
        self.page.blank();
    }

    /// What the compiler says of a program that it made.
    fn warnings(&mut self) {
        if self.model.report.is_none() || self.model.said.is_empty() {
            return;
        }
        self.page.blank();
        self.say("The compiler warns:", "编译器警告：", self.look.unsure());
        for diagnostic in &self.model.said {
            self.rendered(&diagnostic.rendered);
        }
    }

    fn finding(&mut self, report: &Report, check: &CheckVerdict) {
        let Self { model, look, .. } = *self;
        let Some(told) = Told::of(report.lesson, check, model.language) else { return };
        let title = report.lesson.check(check.id).map_or("", |text| text.title.in_(model.language));
        let label = match check.state() {
            State::Inconclusive => ("? ".to_owned(), look.unsure()),
            _ => ("✗ ".to_owned(), look.bad()),
        };
        self.page.labelled(&label, title, look.bold());
        let id = check.diagnosis().map_or("", |diagnosis| diagnosis.id);
        self.page.text(&format!("{}: {id}", check.id), look.dim());
        self.page.blank();
        self.page.text(&told.what, Style::default());
        self.page.text(&told.why, Style::default());
        self.page.labelled(&("→ ".to_owned(), look.key()), &told.next, Style::default());
        self.page.blank();
        let widest = told.facts.iter().map(|(label, _)| textwrap::core::display_width(label)).max();
        for (name, value) in &told.facts {
            let padding = widest.unwrap_or(0) - textwrap::core::display_width(name);
            let label = format!("{name}{}  ", " ".repeat(padding));
            self.page.labelled(&(label, look.dim()), value, Style::default());
        }
        if !told.repeat.is_empty() {
            self.page.blank();
            self.say(
                "By hand, each in a terminal of its own:",
                "手动重现（每条命令用一个终端）：",
                Style::default(),
            );
            for command in &told.repeat {
                self.command(&as_called(command, self.around.invocation));
            }
        }
        self.page.blank();
        self.say(
            "The same run again: R here, or",
            "同样的检查再来一次：按 R，或执行",
            Style::default(),
        );
        let (program, stage) = (self.around.invocation, report.lesson.id());
        self.command(&format!("{program} check {stage} --seed {}", report.seed));
    }

    fn command(&mut self, command: &str) {
        self.page.fold(vec![(format!("  {command}"), self.look.key())]);
    }

    fn passed(&mut self, report: &Report, checks: usize, took: f64) {
        let Self { model, look, .. } = *self;
        let passed = match model.language {
            Language::En => format!("Passed, {checks} checks in {took:.1} s."),
            Language::Zh => format!("通过：{checks} 项检查，用时 {took:.1} 秒。"),
        };
        self.page.labelled(&("✓ ".to_owned(), look.good()), &passed, look.bold());
        self.page.text(report.lesson.proved.in_(model.language), Style::default());
        self.page.blank();
        self.key("s", "compare with the reference solution", "对照参考实现");
        match model.next() {
            Some(next) => {
                let title = next.title.in_(model.language);
                let words = match model.language {
                    Language::En => format!("go on: {}, {title}", next.id()),
                    Language::Zh => format!("进入下一阶段：{} {title}", next.id()),
                };
                self.page.labelled(&("n  ".to_owned(), look.key()), &words, look.bold());
                self.key("N", "the same with your own program", "同上，但带着自己的程序");
                let indent = ("   ".to_owned(), Style::default());
                self.page.labelled(&indent, next.goal.in_(model.language), Style::default());
                let file = self.around.file(next.id());
                self.page.labelled(&indent, &file, look.dim());
            }
            None => self.say(
                "That was the last stage. Well done.",
                "这是最后一个阶段，恭喜完成！",
                look.good(),
            ),
        }
        self.warnings();
    }

    fn key(&mut self, key: &str, en: &str, zh: &str) {
        let label = (format!("{key}  "), self.look.key());
        self.page.labelled(&label, self.model.say(en, zh), Style::default());
    }

    /// The newest hint first: it is what was asked for.
    fn hints(&mut self) {
        let Self { model, look, .. } = *self;
        let (seen, total) = (model.hints_seen(), model.lesson.hints.len());
        for (at, hint) in model.lesson.hints.iter().enumerate().take(seen).rev() {
            let newest = at + 1 == seen;
            let style = if newest { Style::default() } else { look.dim() };
            let label = (format!("{}/{total}  ", at + 1), look.key());
            let text = hint.in_(model.language);
            // Code in a hint keeps its columns.
            let mut label = Some(label);
            for line in text.trim().lines() {
                let lead = label.take().unwrap_or(("     ".to_owned(), style));
                if line.starts_with(' ') {
                    self.page.fold(vec![(line.to_owned(), style)]);
                } else if line.is_empty() {
                    self.page.blank();
                } else {
                    self.page.labelled(&lead, line, style);
                }
            }
            self.page.blank();
        }
        if seen < total && seen > 0 {
            self.say("h shows one more.", "再按 h 看下一条。", look.dim());
        }
    }

    /// The stages; returns the line of the one that would be chosen.
    fn list(&mut self, chosen: usize) -> usize {
        let Self { model, look, .. } = *self;
        let mut line = 0;
        for (at, lesson) in lesson::all().iter().enumerate() {
            let mark = if model.has_passed(lesson) { "✓" } else { "·" };
            let here = if at == chosen { "▸" } else { " " };
            let style = if at == chosen { look.bold() } else { Style::default() };
            if at == chosen {
                line = self.page.lines.len();
            }
            let current = match lesson.id() == model.lesson.id() {
                true => model.say(" (current)", "（当前）"),
                false => "",
            };
            let text = format!("{}  {}{current}", lesson.id(), lesson.title.in_(model.language));
            let label = (format!("{here} {mark} "), if mark == "✓" { look.good() } else { style });
            self.page.labelled(&label, &text, style);
        }
        line
    }
}
