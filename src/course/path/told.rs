//! The path, told: as lines for a terminal of any width, and as JSON, which is a
//! contract (`docs/course.md`).

use colored::Colorize;
use jiff::tz::TimeZone;
use serde_json::{Value, json as value};
use textwrap::core::display_width;

use super::{Next, Path, Step};
use crate::language::Language;

/// The path as one JSON object. `invocation` is how this program was called.
pub fn json(path: &Path, language: Language, invocation: &str) -> Value {
    let stages = path.stages.iter().map(|step| {
        let passed = step.pass.as_ref();
        value!({
            "stage": step.lesson.id(),
            "title": step.lesson.title.in_(language),
            "minutes": step.lesson.minutes,
            "current": step.current,
            "passed": passed.map(|pass| value!({ "when": pass.when, "seed": pass.seed })),
        })
    });
    value!({
        "stages": stages.collect::<Vec<_>>(),
        "current": path.current().map(|lesson| lesson.id()),
        "passed": path.passed(),
        "minutes_left": path.minutes_left(),
        "next": {
            "message": message(path.next, language),
            "command": command(path.next, invocation),
        },
    })
}

/// The path as lines. `width` is the terminal's, in columns; without one, nothing
/// is wrapped. `invocation` is how this program was called.
pub fn lines(
    path: &Path,
    language: Language,
    width: Option<usize>,
    invocation: &str,
) -> Vec<String> {
    let width = width.unwrap_or(usize::MAX);
    let mut lines = stages(path, language, width);
    let (passed, of) = (path.passed(), path.stages.len());
    let sum = match (language, path.minutes_left()) {
        (Language::En, 0) => format!("All {of} stages passed."),
        (Language::Zh, 0) => format!("{of} 个阶段全部通过。"),
        (Language::En, left) => {
            format!("{passed} of {of} stages passed; about {} to go.", time(left, language))
        }
        (Language::Zh, left) => {
            format!("{of} 个阶段已通过 {passed} 个，大约还需 {}。", time(left, language))
        }
    };
    lines.push(String::new());
    for text in [sum, message(path.next, language)] {
        lines.extend(textwrap::wrap(&text, width).iter().map(ToString::to_string));
    }
    // It is there to be copied.
    lines.push(format!("    {}", command(path.next, invocation)));
    lines
}

/// A line for each stage: with its title where there is room, else without; two
/// lines where there is no room even for that.
fn stages(path: &Path, language: Language, width: usize) -> Vec<String> {
    let widest = |of: &dyn Fn(&Step) -> usize| path.stages.iter().map(of).max().unwrap_or(0);
    let id = widest(&|step| step.lesson.id().len());
    let title = widest(&|step| display_width(step.lesson.title.in_(language)));
    let widest_state = widest(&|step| display_width(&state(step, language)));
    let titled = 2 + id + 2 + title + 2 + widest_state <= width;
    let one_line = 2 + id + 2 + widest_state <= width;
    let mut lines = Vec::new();
    for step in &path.stages {
        let mark = match (&step.pass, step.current) {
            (Some(_), _) => "✓".green(),
            (None, true) => "●".yellow(),
            (None, false) => "·".normal(),
        };
        let name = step.lesson.id();
        let bold = if step.current { name.bold() } else { name.normal() };
        let state = state(step, language);
        let gap = " ".repeat(id - name.len() + 2);
        if titled {
            let text = step.lesson.title.in_(language);
            let gap_behind = " ".repeat(title - display_width(text) + 2);
            lines.push(format!("{mark} {bold}{gap}{text}{gap_behind}{state}"));
        } else if one_line {
            lines.push(format!("{mark} {bold}{gap}{state}"));
        } else {
            lines.push(format!("{mark} {bold}"));
            let options = textwrap::Options::new(width.max(12));
            let options = options.initial_indent("  ").subsequent_indent("  ");
            lines.extend(textwrap::wrap(&state, options).iter().map(ToString::to_string));
        }
    }
    lines
}

fn state(step: &Step, language: Language) -> String {
    let minutes = time(step.lesson.minutes, language);
    let passed = step.pass.as_ref().map(|pass| {
        let day = pass.when.to_zoned_datetime(TimeZone::system()).date();
        match language {
            Language::En => format!("passed {day}, seed {}", pass.seed),
            Language::Zh => format!("{day} 通过，种子 {}", pass.seed),
        }
    });
    match (passed, step.current, language) {
        (Some(passed), false, _) => passed,
        (Some(passed), true, Language::En) => format!("{passed}, current"),
        (Some(passed), true, Language::Zh) => format!("{passed}，当前"),
        (None, true, Language::En) => format!("current, about {minutes}"),
        (None, true, Language::Zh) => format!("当前，约 {minutes}"),
        (None, false, Language::En) => format!("open, about {minutes}"),
        (None, false, Language::Zh) => format!("未通过，约 {minutes}"),
    }
}

fn time(minutes: u32, language: Language) -> String {
    match (minutes / 60, minutes % 60, language) {
        (0, minutes, Language::En) => format!("{minutes} min"),
        (0, minutes, Language::Zh) => format!("{minutes} 分钟"),
        (hours, 0, Language::En) => format!("{hours} h"),
        (hours, 0, Language::Zh) => format!("{hours} 小时"),
        (hours, minutes, Language::En) => format!("{hours} h {minutes} min"),
        (hours, minutes, Language::Zh) => format!("{hours} 小时 {minutes} 分钟"),
    }
}

fn message(next: Next, language: Language) -> String {
    match (next, language) {
        (Next::Begin, Language::En) => "Begin; a workspace is made, in my-lab:".to_owned(),
        (Next::Begin, Language::Zh) => "从这里开始，会新建学习目录 my-lab：".to_owned(),
        (Next::Pass(lesson), Language::En) => {
            format!("Write stages/{}/main.rs, and have it judged on every save:", lesson.id())
        }
        (Next::Pass(lesson), Language::Zh) => {
            format!("编写 stages/{}/main.rs，每次保存都会自动检查：", lesson.id())
        }
        (Next::GoOn(lesson), Language::En) => {
            format!("Go on to {} (with your own program: --keep):", lesson.id())
        }
        (Next::GoOn(lesson), Language::Zh) => {
            format!("进入 {}（加 --keep 则带着自己的程序继续）：", lesson.id())
        }
        (Next::Return(lesson), Language::En) => format!("{} is still open:", lesson.id()),
        (Next::Return(lesson), Language::Zh) => format!("{} 尚未通过：", lesson.id()),
        (Next::Done, Language::En) => "Have all of it judged, and keep what was proved:".to_owned(),
        (Next::Done, Language::Zh) => "全部再检查一遍，并留下报告：".to_owned(),
    }
}

fn command(next: Next, invocation: &str) -> String {
    match next {
        Next::Begin | Next::Pass(_) => format!("{invocation} learn"),
        Next::GoOn(_) => format!("{invocation} next"),
        Next::Return(lesson) => format!("{invocation} goto {}", lesson.id()),
        Next::Done => format!("{invocation} check all --report report.md"),
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
