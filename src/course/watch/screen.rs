//! The layout: header, checks, panel, keys; side by side where there is room.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use unicode_width::UnicodeWidthStr;

use super::model::{Mark, Model, Panel, Phase};
use super::page::{Look, Page, Piece};
use super::panel::{self, Surroundings};
use crate::course::build;
use crate::course::lesson;
use crate::course::trial::Outcome;
use crate::judge::State;
use crate::language::Language;

/// The width of the checks where they stand beside the panel.
const SIDE: u16 = 46;

/// The width that the panel must keep then: sentences wrap, while a picture or
/// a program is only read as it was written.
fn least_width(panel: &Panel) -> u16 {
    match panel {
        Panel::Lesson | Panel::Solution => 80,
        Panel::Verdict | Panel::Hints | Panel::List(_) => 54,
    }
}

/// Rows that the panel should have before the goal or the checks get theirs.
const PANEL_ROWS: usize = 7;

/// Draws the model; returns how many lines the panel shows, and has.
pub fn draw(frame: &mut Frame<'_>, model: &Model, around: &Surroundings) -> (usize, usize) {
    let area = frame.area();
    let look = Look { color: around.color };
    let width = usize::from(area.width);
    let rows = usize::from(area.height);
    if rows < 4 || width < 10 {
        let line = Line::from(mark_line(model, look));
        frame.render_widget(line, area);
        return (0, 0);
    }
    let mut head = head(model, look, width, rows);
    head.truncate(rows / 2);
    let mut foot = foot(model, look, width);
    foot.truncate(rows - head.len());
    let middle = rows.saturating_sub(foot.len() + head.len());

    let mut painter = Painter { frame, area, row: 0 };
    painter.lines(head, area.x, area.width);
    let top = painter.row;
    let shown = if area.width >= SIDE + least_width(&model.panel) {
        let mut side = Page::new(usize::from(SIDE) - 2);
        goal(&mut side, model, around, look);
        side.blank();
        checks(&mut side, model, look);
        painter.block(side.lines, Rect { x: 0, y: top, width: SIDE - 2, height: middle as u16 });
        let place = Rect { x: SIDE, y: top, width: area.width - SIDE, height: middle as u16 };
        painter.panel(model, around, look, place)
    } else {
        let above = above(model, around, look, width, middle);
        let height = middle.saturating_sub(above.len()) as u16;
        painter.lines(above, area.x, area.width);
        let place = Rect { x: 0, y: painter.row, width: area.width, height };
        painter.panel(model, around, look, place)
    };
    painter.row = (rows - foot.len()) as u16;
    painter.lines(foot, area.x, area.width);
    shown
}

struct Painter<'a, 'b> {
    frame: &'a mut Frame<'b>,
    area: Rect,
    row: u16,
}

// === impl Painter ===

impl Painter<'_, '_> {
    fn lines(&mut self, lines: Vec<Line<'static>>, x: u16, width: u16) {
        let height = (lines.len() as u16).min(self.area.height.saturating_sub(self.row));
        self.block(lines, Rect { x, y: self.row, width, height });
        self.row += height;
    }

    fn block(&mut self, lines: Vec<Line<'static>>, place: Rect) {
        self.frame.render_widget(Text::from(lines), place.intersection(self.area));
    }

    /// The panel below its title.
    fn panel(
        &mut self,
        model: &Model,
        around: &Surroundings,
        look: Look,
        place: Rect,
    ) -> (usize, usize) {
        let width = usize::from(place.width);
        let (page, seen) = panel::lines(model, around, width);
        let rows = usize::from(place.height.saturating_sub(1));
        let total = page.lines.len();
        let last = total.saturating_sub(rows);
        let from = match seen {
            // In the middle, as far as there is more on both sides.
            Some(line) => line.saturating_sub(rows / 2).min(last),
            None => model.scroll.min(last),
        };
        let mut rule = Page::new(width);
        rule.rule(&title(model, from, rows, total), look.dim());
        let mut lines: Vec<_> = rule.lines.into_iter().take(1).collect();
        lines.extend(page.lines.into_iter().skip(from).take(rows));
        self.block(lines, place);
        (rows, total)
    }
}

/// What the panel shows, and how much of it.
fn title(model: &Model, from: usize, rows: usize, total: usize) -> String {
    let name = match model.panel {
        Panel::Verdict => model.say("Result", "结果"),
        Panel::Hints => model.say("Hints", "提示"),
        Panel::Lesson => model.say("Lesson", "课文"),
        Panel::Solution => model.say("Reference solution", "参考实现"),
        Panel::List(_) => model.say("Stages", "阶段"),
    };
    if total <= rows {
        return name.to_owned();
    }
    let until = (from + rows).min(total);
    let (up, down) = (if from > 0 { "↑" } else { " " }, if until < total { "↓" } else { " " });
    format!("{name} {}–{until}/{total} {up}{down}", from + 1)
}

/// Stage, title and progress; below it, how far the trial is.
fn head(model: &Model, look: Look, width: usize, rows: usize) -> Vec<Line<'static>> {
    let total = lesson::all().len();
    let done = model.passed_count();
    let bar = format!("{}{} {done}/{total}", "▰".repeat(done), "▱".repeat(total - done));
    let id = model.lesson.id();
    let title = model.lesson.title.in_(model.language);
    let left = format!("{id}  {title}");
    let mut lines = Vec::new();
    let line = |left: &str| {
        let gap = width.saturating_sub(left.width() + bar.width());
        Line::from(vec![
            Span::styled(left.to_owned(), look.bold()),
            Span::raw(" ".repeat(gap)),
            Span::styled(bar.clone(), look.good()),
        ])
    };
    if left.width() + 2 + bar.width() <= width {
        lines.push(line(&left));
    } else {
        lines.push(line(id));
        if rows >= 14 {
            let mut page = Page::new(width);
            page.text(title, look.bold());
            lines.extend(page.lines);
        }
    }
    let mut page = Page::new(width);
    match state(model, look).as_slice() {
        // What is long is wrapped between words.
        [mark, (text, style)] => page.labelled(mark, text, *style),
        pieces => page.fold(pieces.to_vec()),
    }
    lines.extend(page.lines.into_iter().take(if rows >= 14 { 2 } else { 1 }));
    lines
}

/// How far the trial is, or what came of it.
fn state(model: &Model, look: Look) -> Vec<Piece> {
    let goes_on = |text: String| vec![("● ".to_owned(), look.unsure()), (text, Style::default())];
    let say = |en: &str, zh: &str| model.say(en, zh).to_owned();
    match (&model.phase, &model.report) {
        (Phase::Starting, _) => goes_on(say("Building…", "正在编译……")),
        (Phase::Building(event), _) => goes_on(building(model, event)),
        (Phase::Checking, _) => {
            let decided = model.marks.iter().filter(|mark| matches!(mark, Mark::Decided(_)));
            let (done, total) = (decided.count(), model.marks.len());
            goes_on(match model.language {
                Language::En => format!("Checking… {done}/{total}"),
                Language::Zh => format!("正在检查…… {done}/{total}"),
            })
        }
        (Phase::Untried(_), _) | (Phase::Done, None) => {
            vec![
                ("? ".to_owned(), look.unsure()),
                (say("Not judged", "未能检查"), Style::default()),
            ]
        }
        (Phase::Done, Some(report)) => {
            let passed = report.passed().len();
            let total = model.marks.len();
            let seed = report.seed;
            let built = !matches!(report.result, Outcome::NotBuilt(..));
            let (mark, style, words) = match (report.state(), built, model.language) {
                (State::Pass, _, Language::En) => ("✓ ", look.good(), "Passed".to_owned()),
                (State::Pass, _, Language::Zh) => ("✓ ", look.good(), "通过".to_owned()),
                (State::Fail, false, Language::En) => {
                    ("✗ ", look.bad(), "Does not compile".to_owned())
                }
                (State::Fail, false, Language::Zh) => ("✗ ", look.bad(), "编译不通过".to_owned()),
                (State::Fail, true, Language::En) => {
                    ("✗ ", look.bad(), format!("{passed} of {total} checks passed"))
                }
                (State::Fail, true, Language::Zh) => {
                    ("✗ ", look.bad(), format!("{total} 项检查通过 {passed} 项"))
                }
                (State::Inconclusive, false, Language::En) => {
                    ("? ", look.unsure(), "Not built".to_owned())
                }
                (State::Inconclusive, false, Language::Zh) => {
                    ("? ", look.unsure(), "未能编译".to_owned())
                }
                (State::Inconclusive, true, Language::En) => {
                    ("? ", look.unsure(), "Inconclusive".to_owned())
                }
                (State::Inconclusive, true, Language::Zh) => {
                    ("? ", look.unsure(), "没有定论".to_owned())
                }
            };
            let mut pieces = vec![(mark.to_owned(), style), (words, look.bold())];
            if built {
                let seed = match model.language {
                    Language::En => format!("  seed {seed}"),
                    Language::Zh => format!("  种子 {seed}"),
                };
                pieces.push((seed, look.dim()));
            }
            pieces
        }
    }
}

fn building(model: &Model, event: &build::Event) -> String {
    match (event, model.language) {
        (build::Event::Downloading, Language::En) => "Downloading crates…".to_owned(),
        (build::Event::Downloading, Language::Zh) => "正在下载依赖……".to_owned(),
        (build::Event::Waiting, Language::En) => {
            "Waiting for another cargo (an editor?)…".to_owned()
        }
        (build::Event::Waiting, Language::Zh) => "正在等待另一个 cargo（编辑器？）……".to_owned(),
        (build::Event::Compiling { names, done, total }, language) if model.first_build => {
            // Ten steps are enough for a bar.
            let filled = (done * 10).checked_div(*total).unwrap_or(0).min(10);
            let bar = format!("{}{}", "▰".repeat(filled), "▱".repeat(10 - filled));
            match language {
                Language::En => format!("The dependencies, once: {bar} {done}/{total}  {names}"),
                Language::Zh => format!("编译依赖（只需一次）：{bar} {done}/{total}  {names}"),
            }
        }
        (_, Language::En) => "Building…".to_owned(),
        (_, Language::Zh) => "正在编译……".to_owned(),
    }
}

/// What stands above the panel where it is not beside it: as much as leaves the
/// panel its rows.
fn above(
    model: &Model,
    around: &Surroundings,
    look: Look,
    width: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let mut list = Page::new(width);
    checks(&mut list, model, look);
    let mut asked = Page::new(width);
    goal(&mut asked, model, around, look);
    let wanted = match model.panel {
        Panel::Verdict => PANEL_ROWS,
        // Whoever reads something wants room for it.
        _ => panel::lines(model, around, width).0.lines.len(),
    };
    let room = rows.saturating_sub(wanted + 1);
    if asked.lines.len() + list.lines.len() <= room {
        asked.lines.extend(list.lines);
        asked.lines
    } else if list.lines.len() <= room {
        list.lines
    } else {
        vec![Line::from(mark_line(model, look))]
    }
}

/// What the stage asks, and where.
fn goal(page: &mut Page, model: &Model, around: &Surroundings, look: Look) {
    page.text(model.lesson.goal.in_(model.language), Style::default());
    page.fold(vec![(around.file(model.lesson.id()), look.key())]);
}

/// Each check with its state.
fn checks(page: &mut Page, model: &Model, look: Look) {
    for (check, mark) in model.lesson.checks.iter().zip(&model.marks) {
        let (sign, style) = sign(*mark, look);
        let title = match mark {
            Mark::Waiting | Mark::NotRun => look.dim(),
            _ => Style::default(),
        };
        let mut text = check.title.in_(model.language).to_owned();
        match mark {
            Mark::NotRun => text.push_str(model.say(" (not run)", "（未运行）")),
            Mark::Decided(State::Inconclusive) => {
                text.push_str(model.say(" (inconclusive)", "（没有定论）"));
            }
            _ => {}
        }
        page.labelled(&(format!("{sign} "), style), &text, title);
    }
}

/// All checks in one line.
fn mark_line(model: &Model, look: Look) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    for mark in &model.marks {
        let (sign, style) = sign(*mark, look);
        spans.push(Span::styled(format!("{sign} "), style));
    }
    let at = |wanted: Mark| model.marks.iter().position(|mark| *mark == wanted);
    let named = at(Mark::Decided(State::Fail))
        .or_else(|| at(Mark::Decided(State::Inconclusive)))
        .or_else(|| at(Mark::Running))
        .and_then(|at| model.lesson.checks.get(at));
    if let Some(check) = named {
        spans.push(Span::styled(check.id.clone(), look.dim()));
    }
    spans
}

/// A mark that says it without colour too.
fn sign(mark: Mark, look: Look) -> (&'static str, Style) {
    match mark {
        Mark::Waiting => ("·", look.dim()),
        Mark::Running => ("●", look.unsure()),
        Mark::Decided(State::Pass) => ("✓", look.good()),
        Mark::Decided(State::Fail) => ("✗", look.bad()),
        Mark::Decided(State::Inconclusive) => ("?", look.unsure()),
        Mark::NotRun => ("-", look.dim()),
    }
}

/// What is to be said, and the keys.
fn foot(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let mut page = Page::new(width);
    if let Some(notice) = &model.notice {
        page.text(notice, look.unsure());
    }
    let mut lines = page.lines;
    let (mut line, mut used) = (Vec::new(), 0);
    for (key, word) in keys(model) {
        let wide = key.width() + 1 + word.width();
        if used > 0 && used + 2 + wide > width {
            lines.push(Line::from(std::mem::take(&mut line)));
            used = 0;
        }
        if used > 0 {
            line.push(Span::raw("  "));
            used += 2;
        }
        line.push(Span::styled(key, look.key().patch(look.bold())));
        line.push(Span::styled(format!(" {word}"), look.dim()));
        used += wide;
    }
    lines.push(Line::from(line));
    lines
}

/// The keys that do something now.
fn keys(model: &Model) -> Vec<(&'static str, &str)> {
    let mut keys = Vec::new();
    let passed = model.has_passed(model.lesson);
    if let Panel::List(_) = model.panel {
        keys.push(("↑↓", model.say("choose", "选择")));
        keys.push(("Enter", model.say("go", "进入")));
    } else if model.scrolls() {
        keys.push(("↑↓", model.say("scroll", "滚动")));
    }
    if model.panel != Panel::Verdict {
        keys.push(("Esc", model.say("back", "返回")));
    }
    if passed && model.next().is_some() {
        keys.push(("n", model.say("next", "下一阶段")));
    }
    if passed {
        keys.push(("s", model.say("solution", "参考实现")));
    }
    keys.push(("h", model.say("hint", "提示")));
    keys.push(("l", model.say("list", "列表")));
    keys.push(("o", model.say("lesson", "课文")));
    keys.push(("t", model.say("中文", "English")));
    keys.push(("r", model.say("rerun", "重跑")));
    keys.push(("q", model.say("quit", "退出")));
    keys
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
