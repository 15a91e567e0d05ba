//! `pingora-lab learn`.

use std::io::{IsTerminal, Write};

use anyhow::{Context, anyhow};

use super::{Desk, USUAL_FOLDER, shown};
use crate::cli::{Exit, Global, invocation};
use crate::course::watch::{Face, Watch};
use crate::course::workspace::{Workspace, init};
use crate::language::Language;

pub(in crate::cli) const AFTER_HELP: &str = "\
Works in the workspace here, above here, or in my-lab; where there is none, my-lab is made.

Keys: h hint, n next stage, N the same with your own program, l list of stages, o lesson, s reference solution (after a pass), \
t language, r rerun, R rerun with the same seed, arrows scroll, Esc back, q or Ctrl-C quit.

Without a terminal (a pipe, TERM=dumb) it prints plain lines, and has no keys.";

pub(in crate::cli) fn run(global: &Global) -> anyhow::Result<Exit> {
    let desk = desk(global)?;
    // A dumb terminal has no places to write at.
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let screen = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb;
    let face = if screen { Face::Screen } else { Face::Lines };
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = global.color_override().unwrap_or(screen && !unwanted);
    // The screen's colours are the watch's alone to leave out.
    ratatui::crossterm::style::force_color_output(color);
    let root = shown(desk.workspace.root());
    let here = std::env::current_dir().is_ok_and(|here| here == desk.workspace.root());
    let watch = Watch {
        lesson: desk.current()?,
        guard: std::env::current_exe().context("cannot find this program's own file")?,
        prefix: if here { String::new() } else { format!("{root}/") },
        workspace: desk.workspace,
        progress: desk.progress,
        language: desk.language,
        color,
        invocation: invocation(),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ended = runtime.block_on(watch.run(face));
    // A guard ends what it guards when our end of its stream is closed, which
    // dropping the runtime does.
    drop(runtime);
    ended?;
    Ok(Exit::Good)
}

/// The workspace here; where there is none, a new one.
fn desk(global: &Global) -> anyhow::Result<Desk> {
    let here = std::env::current_dir()?;
    if Workspace::find(&here).or_else(|| Workspace::find(&here.join(USUAL_FOLDER))).is_none() {
        let language = global.language();
        let folder = here.join(USUAL_FOLDER);
        let made = init(&folder, language).map_err(|error| anyhow!(error.explain(language)))?;
        let count = made.written.len();
        let words = match language {
            Language::En => format!("{USUAL_FOLDER}: {count} files written. It is your workspace."),
            Language::Zh => {
                format!("已在 {USUAL_FOLDER} 中写入 {count} 个文件：这是你的学习目录。")
            }
        };
        let _ = writeln!(std::io::stdout(), "{words}");
    }
    let desk = Desk::find(global)?;
    // A language that was asked for is remembered; the locale's may change.
    if let Some(chosen) = global.lang {
        desk.update(|progress| progress.set_language(chosen))?;
    }
    Ok(desk)
}
