//! `pingora-lab next` and `pingora-lab goto`.

use std::io::Write;

use anyhow::anyhow;
use colored::Colorize;

use super::{Desk, StageArg, named, shown};
use crate::cli::listing::terminal_width;
use crate::cli::{Exit, Global, UsageError, invocation};
use crate::course::lesson::Lesson;
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct NextArgs {
    /// Begin with your own program instead of the starter
    #[arg(long)]
    keep: bool,
}

/// To the stage behind the current one, which must be passed.
pub(in crate::cli) fn next(args: NextArgs, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let current = desk.current()?;
    let program = invocation();
    if !desk.progress.has_passed(current.id()) {
        let id = current.id();
        let text = match desk.language {
            Language::En => format!(
                "{id} is not passed yet; run `{program} check`, or skip it with \
                 `{program} goto STAGE`"
            ),
            Language::Zh => {
                format!("{id} 尚未通过；请先 `{program} check`，或用 `{program} goto 阶段` 跳过")
            }
        };
        anyhow::bail!(text);
    }
    let Some(next) = current.next() else {
        let _ = match desk.language {
            Language::En => writeln!(std::io::stdout(), "That was the last stage. Well done."),
            Language::Zh => writeln!(std::io::stdout(), "这是最后一个阶段，恭喜完成！"),
        };
        return Ok(Exit::Good);
    };
    if !args.keep {
        return go(&desk, next);
    }
    // First the program: a learner who is at a stage has its file.
    let carried = desk.workspace.carry(current, next);
    let carried = carried.map_err(|error| anyhow!(error.explain(desk.language)))?;
    let exit = go(&desk, next)?;
    let mut lines = carried.told(current, next, desk.language, shown);
    lines.push(match desk.language {
        Language::En => format!("For the starter, with its TODOs: {program} reset {}", next.id()),
        Language::Zh => format!("想看带 TODO 的起始代码：{program} reset {}", next.id()),
    });
    for line in lines {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    Ok(exit)
}

/// To any stage.
pub(in crate::cli) fn goto(stage: StageArg, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let Some(name) = &stage.stage else {
        let text = match desk.language {
            Language::En => "goto needs a stage, such as: goto 02",
            Language::Zh => "goto 要指明阶段，例如：goto 02",
        };
        return Err(UsageError(text.to_owned()).into());
    };
    go(&desk, named(name, desk.language)?)
}

fn go(desk: &Desk, lesson: &Lesson) -> anyhow::Result<Exit> {
    desk.update(|progress| progress.current = Some(lesson.id().to_owned()))?;
    let language = desk.language;
    let file = shown(&desk.workspace.stage_file(lesson));
    let mut out = std::io::stdout().lock();
    let title = format!("{}  {}", lesson.id(), lesson.title.in_(language));
    let _ = writeln!(out, "{}", title.bold());
    let width = terminal_width().unwrap_or(usize::MAX);
    for line in textwrap::wrap(lesson.goal.in_(language), width) {
        let _ = writeln!(out, "{line}");
    }
    let _ = match language {
        Language::En => writeln!(out, "\nYour file: {file}"),
        Language::Zh => writeln!(out, "\n你的文件：{file}"),
    };
    Ok(Exit::Good)
}
