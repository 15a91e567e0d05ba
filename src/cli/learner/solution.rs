//! `pingora-lab solution`.

use std::io::Write;

use super::{Desk, StageArg};
use crate::cli::{Exit, Global, invocation};
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    stage: StageArg,

    /// Show it though the stage is not passed yet
    #[arg(long)]
    anyway: bool,
}

pub(in crate::cli) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let lesson = desk.stage(&args.stage)?;
    let id = lesson.id();
    if !args.anyway && !desk.progress.has_passed(id) {
        let program = invocation();
        anyhow::bail!(match desk.language {
            Language::En => format!(
                "{id} is not passed yet; `{program} hint {id}` helps, and \
                 `{program} solution {id} --anyway` shows the reference all the same"
            ),
            Language::Zh => format!(
                "{id} 尚未通过；可以先看提示 `{program} hint {id}`，也可以用 \
                 `{program} solution {id} --anyway` 直接看参考实现"
            ),
        });
    }
    let _ = std::io::stdout().write_all(lesson.solution().as_bytes());
    Ok(Exit::Good)
}
