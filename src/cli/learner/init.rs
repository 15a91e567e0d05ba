//! `pingora-lab init`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::USUAL_FOLDER;
use crate::cli::{Exit, Global, INSTALLED, invocation};
use crate::course::lesson;
use crate::course::workspace::{Initialised, init};
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The workspace's folder; what is there already is left alone
    #[arg(value_name = "FOLDER", default_value = "my-lab")]
    folder: PathBuf,
}

pub(in crate::cli) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let language = global.language();
    let done =
        init(&args.folder, language).map_err(|error| anyhow::anyhow!(error.explain(language)))?;
    // A language that was asked for is remembered; the locale's may change.
    if let Some(chosen) = global.lang {
        let kept = done.workspace.progress().update(|progress| progress.set_language(chosen));
        kept.map_err(|error| anyhow::anyhow!(error.explain(language)))?;
    }
    // Nobody may read it any more.
    let _ = std::io::stdout().write_all(report(&args.folder, &done, language).as_bytes());
    Ok(Exit::Good)
}

/// What was done, and what to do next.
fn report(folder: &Path, done: &Initialised, language: Language) -> String {
    let mut text = String::new();
    let here = folder == Path::new(".");
    let count = done.written.len();
    let place = match (language, here) {
        (Language::En, true) => "this folder".to_owned(),
        (Language::Zh, true) => "当前目录".to_owned(),
        (Language::En, false) => folder.display().to_string(),
        (Language::Zh, false) => format!("{} ", folder.display()),
    };
    let _ = match (language, count) {
        (Language::En, 0) => writeln!(text, "Nothing was missing in {place}."),
        (Language::En, 1) => writeln!(text, "1 file written in {place}."),
        (Language::En, _) => writeln!(text, "{count} files written in {place}."),
        (Language::Zh, 0) => writeln!(text, "{place}里什么都不缺。"),
        (Language::Zh, _) => writeln!(text, "{place}里写入了 {count} 个文件。"),
    };
    if !done.left.is_empty() {
        let left: Vec<_> = done.left.iter().map(|path| path.display().to_string()).collect();
        let _ = match language {
            Language::En => writeln!(text, "There already, and left alone: {}.", left.join(", ")),
            Language::Zh => writeln!(text, "以下文件已存在，保持原样：{}。", left.join("、")),
        };
    }
    let first = lesson::all().first().map_or("", |lesson| lesson.id());
    let mut learn = format!("{} learn", learner_invocation(folder));
    if !here && !found_from_outside(folder) {
        learn = format!("cd {}\n  {learn}", folder.display());
    }
    let _ = match language {
        Language::En => {
            writeln!(text, "\nNext:\n\n  {learn}\n\nThe first stage is stages/{first}/main.rs.")
        }
        Language::Zh => {
            writeln!(text, "\n接下来：\n\n  {learn}\n\n第一个阶段的文件是 stages/{first}/main.rs。")
        }
    };
    text
}

/// Whether `learn` finds it without going there: in the workspace cargo would run
/// the learner's own programs, so that a checkout is better not left.
fn found_from_outside(folder: &Path) -> bool {
    invocation() != INSTALLED && folder == Path::new(USUAL_FOLDER)
}

/// How to call this program in the workspace.
fn learner_invocation(folder: &Path) -> String {
    match std::env::var("CARGO_MANIFEST_DIR") {
        Ok(checkout) if invocation() != INSTALLED && !found_from_outside(folder) => {
            format!("cargo run --manifest-path {checkout}/Cargo.toml --")
        }
        _ => invocation().to_owned(),
    }
}
