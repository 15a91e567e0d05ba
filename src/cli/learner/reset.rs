//! `pingora-lab reset`.

use std::io::Write;

use anyhow::anyhow;

use super::{Desk, StageArg, shown};
use crate::cli::{Exit, Global};
use crate::language::Language;

pub(in crate::cli) fn run(stage: StageArg, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let lesson = desk.stage(&stage)?;
    let kept = desk.workspace.reset(lesson);
    let kept = kept.map_err(|error| anyhow!(error.explain(desk.language)))?;
    let file = shown(&desk.workspace.stage_file(lesson));
    let words = match (kept.map(|kept| shown(&kept)), desk.language) {
        (Some(kept), Language::En) => {
            format!("{file} is the starter again; yours is kept as {kept}")
        }
        (Some(kept), Language::Zh) => format!("{file} 已恢复为起始代码；你的代码保留在 {kept}"),
        (None, Language::En) => format!("{file} is the starter already"),
        (None, Language::Zh) => format!("{file} 本来就是起始代码"),
    };
    let _ = writeln!(std::io::stdout(), "{words}");
    Ok(Exit::Good)
}
