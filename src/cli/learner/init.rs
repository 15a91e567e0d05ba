//! `pingora-lab init`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;

use super::{USUAL_FOLDER, shown};
use crate::cli::{Exit, Global, invocation};
use crate::course::workspace::{Initialised, init};
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Folder to make; what is there already is left as it is
    #[arg(value_name = "FOLDER", default_value = USUAL_FOLDER)]
    folder: PathBuf,
}

pub(in crate::cli) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let language = global.language();
    let done = init(&args.folder, language).map_err(|error| anyhow!(error.explain(language)))?;
    // The language of the files is the one to go on in.
    if global.lang.is_some() {
        super::update(&done.workspace.progress(), language, |progress| {
            progress.set_language(language);
        })?;
    }
    let _ = tell(&done, language);
    Ok(Exit::Good)
}

fn tell(done: &Initialised, language: Language) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let root = shown(done.workspace.root());
    let root = if root.is_empty() { ".".to_owned() } else { root };
    let (written, left) = (done.written.len(), done.left.len());
    match language {
        Language::En => {
            writeln!(out, "Workspace {root}: {written} files written.")?;
            if left > 0 {
                writeln!(out, "Left as they were, since they are yours ({left}):")?;
            }
        }
        Language::Zh => {
            writeln!(out, "学习目录 {root}：写入 {written} 个文件。")?;
            if left > 0 {
                writeln!(out, "以下 {left} 个文件已有你的内容，未作改动：")?;
            }
        }
    }
    for path in &done.left {
        writeln!(out, "  {}", path.display())?;
    }
    let program = invocation();
    match language {
        Language::En => writeln!(out, "\nNext:\n  cd {root}\n  {program} learn"),
        Language::Zh => writeln!(out, "\n下一步：\n  cd {root}\n  {program} learn"),
    }
}
