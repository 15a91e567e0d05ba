//! What the watch screen knows, and what each input changes. Nothing here waits,
//! reads or draws.

use std::collections::{BTreeMap, BTreeSet};

use super::input::{Effect, Input, Key, Order};
use crate::course::build;
use crate::course::lesson::{self, Lesson};
use crate::course::progress::Progress;
use crate::course::trial::{Event, Report};
use crate::judge::{self, CheckVerdict, State};
use crate::language::Language;

/// A build with more steps before it than this is one of the dependencies, which
/// takes minutes.
const LONG: usize = 25;

/// What the panel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    /// What was found, or what goes on.
    Verdict,
    /// The hints seen so far.
    Hints,
    /// The lesson.
    Lesson,
    /// The reference solution.
    Solution,
    /// The stages; this one would be chosen.
    List(usize),
}

/// How far a trial is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Cargo has said nothing yet.
    Starting,
    /// It builds; its last event.
    Building(build::Event),
    /// The checks run.
    Checking,
    /// It has ended; there is a report.
    Done,
    /// It can't be tried, and why.
    Untried(String),
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has not begun.
    Waiting,
    /// It runs.
    Running,
    /// It was decided.
    Decided(State),
    /// It will not be run: the program did not start, or there is none.
    NotRun,
}

/// What the watch screen knows.
pub struct Model {
    /// The stage at hand.
    pub lesson: &'static Lesson,
    /// The language.
    pub language: Language,
    /// The stages passed.
    pub passed: BTreeSet<String>,
    /// How many hints were seen, by stage.
    pub hints: BTreeMap<String, usize>,
    /// The number of the trial that counts.
    pub generation: u64,
    /// What it is drawn from.
    pub seed: u64,
    /// How far it is.
    pub phase: Phase,
    /// Its checks, in the lesson's order.
    pub marks: Vec<Mark>,
    /// What the compiler says in it.
    pub said: Vec<build::Diagnostic>,
    /// Its end.
    pub report: Option<Report>,
    /// The report before it, of the same stage: of an earlier save.
    pub previous: Option<Report>,
    /// What the panel shows.
    pub panel: Panel,
    /// The first line of the panel that is shown.
    pub scroll: usize,
    /// What was to be said since the last key.
    pub notice: Option<String>,
    /// How many lines the panel shows, and has.
    size: (usize, usize),
    /// Whether the learner has scrolled since the panel was opened.
    reading: bool,
    /// Whether the dependencies are being built.
    pub first_build: bool,
    /// Whether the lesson was opened for them, during such a build.
    opened: bool,
    draw: fn() -> u64,
}

// === impl Model ===

impl Model {
    /// Begins at a stage, with the first trial. `draw` gives seeds.
    pub fn begin(
        lesson: &'static Lesson,
        progress: &Progress,
        language: Language,
        draw: fn() -> u64,
    ) -> (Self, Vec<Effect>) {
        let mut model = Self {
            lesson,
            language,
            passed: progress.passed.keys().cloned().collect(),
            hints: progress.hints.clone(),
            generation: 0,
            seed: 0,
            phase: Phase::Starting,
            marks: Vec::new(),
            said: Vec::new(),
            report: None,
            previous: None,
            panel: Panel::Verdict,
            scroll: 0,
            notice: None,
            size: (0, 0),
            reading: false,
            first_build: false,
            opened: false,
            draw,
        };
        let order = model.judge(draw());
        (model, vec![order])
    }

    /// Takes an input, and says what is to be done.
    pub fn on(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Key(key) => self.key(key),
            Input::Resized => Vec::new(),
            Input::Saved => vec![self.judge((self.draw)())],
            Input::Progress(progress) => self.progress(progress),
            Input::Trial(generation, event) if generation == self.generation => {
                self.event(event);
                Vec::new()
            }
            Input::Done(generation, report) if generation == self.generation => self.done(*report),
            Input::Untried(generation, why) if generation == self.generation => {
                self.phase = Phase::Untried(why);
                Vec::new()
            }
            // Of a trial that no longer counts.
            Input::Trial(..) | Input::Done(..) | Input::Untried(..) => Vec::new(),
            Input::Notice(text) => {
                self.notice = Some(text);
                Vec::new()
            }
        }
    }

    /// How many lines the panel shows, and has: known once it is drawn.
    pub fn measured(&mut self, rows: usize, lines: usize) {
        self.size = (rows, lines);
        self.scroll = self.scroll.min(lines.saturating_sub(rows));
    }

    /// Whether there is more than the panel shows.
    pub fn scrolls(&self) -> bool {
        self.size.1 > self.size.0
    }

    /// Whether a stage was passed, now or earlier.
    pub fn has_passed(&self, lesson: &Lesson) -> bool {
        self.passed.contains(lesson.id())
    }

    /// How many of the course's stages are passed.
    pub fn passed_count(&self) -> usize {
        lesson::all().iter().filter(|lesson| self.has_passed(lesson)).count()
    }

    /// The stage behind this one.
    pub fn next(&self) -> Option<&'static Lesson> {
        self.lesson.next()
    }

    /// How many hints of this stage were seen.
    pub fn hints_seen(&self) -> usize {
        let seen = self.hints.get(self.lesson.id()).copied().unwrap_or(0);
        seen.min(self.lesson.hints.len())
    }

    /// A text in the language.
    pub fn say<'a>(&self, en: &'a str, zh: &'a str) -> &'a str {
        match self.language {
            Language::En => en,
            Language::Zh => zh,
        }
    }

    fn judge(&mut self, seed: u64) -> Effect {
        self.generation += 1;
        self.seed = seed;
        self.phase = Phase::Starting;
        self.marks = vec![Mark::Waiting; self.lesson.checks.len()];
        self.said.clear();
        self.first_build = false;
        if let Some(report) = self.report.take() {
            self.previous = Some(report);
        }
        Effect::Judge(Order { generation: self.generation, lesson: self.lesson, seed })
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Build(build::Event::Diagnostic(diagnostic)) => {
                if self.said.is_empty() && self.panel == Panel::Verdict {
                    self.scroll = 0;
                }
                self.said.push(diagnostic);
            }
            Event::Build(build::Event::Built { .. }) => self.phase = Phase::Checking,
            Event::Build(build::Event::Failed(_)) => {}
            Event::Build(event) => {
                self.first_build |= match &event {
                    build::Event::Compiling { total, done, .. } => done + LONG < *total,
                    build::Event::Downloading => true,
                    _ => false,
                };
                // Something to read meanwhile.
                if self.first_build && self.panel == Panel::Verdict && !self.opened {
                    self.open(Panel::Lesson);
                    self.opened = true;
                }
                self.phase = Phase::Building(event);
            }
            Event::Judge(judge::Progress::Begun(id)) => self.mark(id, Mark::Running),
            Event::Judge(judge::Progress::Decided(check)) => {
                self.mark(check.id, Mark::Decided(check.state()));
            }
        }
    }

    fn mark(&mut self, id: &str, mark: Mark) {
        self.phase = Phase::Checking;
        if let Some(at) = self.lesson.checks.iter().position(|check| check.id == id) {
            self.marks[at] = mark;
        }
    }

    fn done(&mut self, report: Report) -> Vec<Effect> {
        let decided = |id: &str| {
            let verdict = report.verdict()?;
            verdict.checks.iter().find(|check| check.id == id).map(CheckVerdict::state)
        };
        self.marks = self
            .lesson
            .checks
            .iter()
            .map(|check| decided(&check.id).map_or(Mark::NotRun, Mark::Decided))
            .collect();
        self.phase = Phase::Done;
        self.previous = None;
        if report.state() == State::Pass {
            self.passed.insert(report.lesson.id().to_owned());
        }
        // The lesson that was opened for them makes way, unless they read it.
        if self.opened && !self.reading && self.panel == Panel::Lesson {
            self.open(Panel::Verdict);
        }
        if self.panel == Panel::Verdict {
            self.scroll = 0;
        }
        self.opened = true;
        self.report = Some(report.clone());
        vec![Effect::Note(Box::new(report))]
    }

    fn progress(&mut self, progress: Progress) -> Vec<Effect> {
        self.passed.extend(progress.passed.into_keys());
        for (stage, seen) in progress.hints {
            let known = self.hints.entry(stage).or_default();
            *known = seen.max(*known);
        }
        let chosen = progress.current.as_deref().and_then(lesson::find);
        match chosen.filter(|chosen| chosen.id() != self.lesson.id()) {
            Some(chosen) => vec![self.go(chosen)],
            None => Vec::new(),
        }
    }

    fn open(&mut self, panel: Panel) {
        self.panel = panel;
        self.scroll = 0;
        self.reading = false;
    }

    /// To another stage.
    fn go(&mut self, lesson: &'static Lesson) -> Effect {
        self.lesson = lesson;
        self.report = None;
        self.previous = None;
        self.opened = false;
        self.open(Panel::Verdict);
        self.judge((self.draw)())
    }

    fn key(&mut self, key: Key) -> Vec<Effect> {
        self.notice = None;
        match key {
            Key::Quit => return vec![Effect::Quit],
            Key::Rerun => return vec![self.judge((self.draw)())],
            Key::Repeat => return vec![self.judge(self.seed)],
            Key::Language => {
                self.language = match self.language {
                    Language::En => Language::Zh,
                    Language::Zh => Language::En,
                };
                return vec![Effect::Language(self.language)];
            }
            Key::Hint => return self.hint(),
            Key::Next => return self.go_on(false),
            Key::Keep => return self.go_on(true),
            Key::List => {
                let here = lesson::all().iter().position(|lesson| lesson.id() == self.lesson.id());
                self.toggle(Panel::List(here.unwrap_or(0)));
            }
            Key::Lesson => self.toggle(Panel::Lesson),
            Key::Solution if self.has_passed(self.lesson) => self.toggle(Panel::Solution),
            Key::Solution => self.notice(
                "The reference solution is shown once the stage is passed; h gives a hint.",
                "通过本阶段后才能查看参考实现；可以按 h 看提示。",
            ),
            Key::Enter => {
                let chosen = match self.panel {
                    Panel::List(at) => lesson::all().get(at),
                    _ => None,
                };
                if let Some(chosen) = chosen {
                    return self.choose(chosen);
                }
            }
            Key::Back => self.open(Panel::Verdict),
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End => {
                self.scroll_by(key);
            }
        }
        Vec::new()
    }

    /// The same key opens and closes.
    fn toggle(&mut self, panel: Panel) {
        let same = std::mem::discriminant(&panel) == std::mem::discriminant(&self.panel);
        self.open(if same { Panel::Verdict } else { panel });
    }

    fn notice(&mut self, en: &str, zh: &str) {
        self.notice = Some(self.say(en, zh).to_owned());
    }

    fn hint(&mut self) -> Vec<Effect> {
        let (seen, total) = (self.hints_seen(), self.lesson.hints.len());
        let more = seen == 0 || self.panel == Panel::Hints;
        self.open(Panel::Hints);
        if total == 0 {
            self.notice("This stage has no hints.", "本阶段没有提示。");
            return Vec::new();
        }
        if !more {
            return Vec::new();
        }
        if seen == total {
            self.notice("That was the last hint.", "提示到此为止。");
            return Vec::new();
        }
        let id = self.lesson.id();
        self.hints.insert(id.to_owned(), seen + 1);
        vec![Effect::Hints(id, seen + 1)]
    }

    /// To the next stage; if asked for, with the program of this one.
    fn go_on(&mut self, keep: bool) -> Vec<Effect> {
        if !self.has_passed(self.lesson) {
            self.notice(
                "This stage is not passed yet; to skip it, choose another with l.",
                "本阶段尚未通过；要跳过它，按 l 选择别的阶段。",
            );
            return Vec::new();
        }
        match self.next() {
            Some(next) => {
                // First the program: the trial is of what is there then.
                let mut effects = Vec::new();
                if keep {
                    effects.push(Effect::Carry(self.lesson, next));
                }
                effects.extend(self.choose(next));
                effects
            }
            None => {
                self.notice("That was the last stage. Well done.", "这是最后一个阶段，恭喜完成！");
                Vec::new()
            }
        }
    }

    fn choose(&mut self, lesson: &'static Lesson) -> Vec<Effect> {
        if lesson.id() == self.lesson.id() {
            self.open(Panel::Verdict);
            return Vec::new();
        }
        vec![Effect::Current(lesson.id()), self.go(lesson)]
    }

    fn scroll_by(&mut self, key: Key) {
        self.reading = true;
        let page = self.size.0.saturating_sub(1).max(1);
        let last = match self.panel {
            Panel::List(_) => lesson::all().len().saturating_sub(1),
            _ => self.size.1.saturating_sub(self.size.0),
        };
        let at = match &mut self.panel {
            Panel::List(at) => at,
            _ => &mut self.scroll,
        };
        *at = match key {
            Key::Up => at.saturating_sub(1),
            Key::Down => *at + 1,
            Key::PageUp => at.saturating_sub(page),
            Key::PageDown => *at + page,
            Key::Home => 0,
            _ => last,
        }
        .min(last);
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(super) mod tests;
