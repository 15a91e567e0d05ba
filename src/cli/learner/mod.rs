//! The commands of somebody who works through the course.

pub(super) mod check;
pub(super) mod hint;
pub(super) mod init;
pub(super) mod learn;
pub(super) mod moves;
pub(super) mod progress;
pub(super) mod reset;
pub(super) mod run;
pub(super) mod solution;

use std::path::Path;

use anyhow::anyhow;

use super::{Global, UsageError, invocation};
use crate::course::lesson::{self, Lesson};
use crate::course::path;
use crate::course::progress::{Progress, ProgressFile};
use crate::course::workspace::Workspace;
use crate::language::Language;

/// The folder that `learn` makes, and in which a workspace is looked for.
pub(super) const USUAL_FOLDER: &str = "my-lab";

/// A stage, as a person names it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StageArg {
    /// Stage: 2, 02, round-robin or 02-round-robin [default: the current one]
    #[arg(value_name = "STAGE")]
    stage: Option<String>,
}

/// Where a learner works: the workspace, what was passed in it, their language.
pub(super) struct Desk {
    pub(super) workspace: Workspace,
    pub(super) progress: Progress,
    pub(super) language: Language,
}

// === impl Desk ===

impl Desk {
    /// The workspace around the current folder, or the usual one below it.
    pub(super) fn find(global: &Global) -> anyhow::Result<Self> {
        match Self::find_any(global)? {
            Some(desk) => Ok(desk),
            None => Err(no_workspace(&std::env::current_dir()?, global.language())),
        }
    }

    /// The same, where there need be none.
    pub(super) fn find_any(global: &Global) -> anyhow::Result<Option<Self>> {
        let here = std::env::current_dir()?;
        let found = Workspace::find(&here).or_else(|| Workspace::find(&here.join(USUAL_FOLDER)));
        found.map(|workspace| Self::at(workspace, global)).transpose()
    }

    /// This workspace, with the stages that a newer version of the course adds.
    pub(super) fn at(workspace: Workspace, global: &Global) -> anyhow::Result<Self> {
        let asked = global.language();
        workspace.add_missing_stages().map_err(|error| anyhow!(error.explain(asked)))?;
        let progress = workspace.progress().read();
        let progress = progress.map_err(|error| anyhow!(error.explain(asked)))?;
        let language = global.lang.or(progress.language()).unwrap_or(asked);
        Ok(Self { workspace, progress, language })
    }

    /// The stage that is worked on.
    pub(super) fn current(&self) -> anyhow::Result<&'static Lesson> {
        path::current(&self.progress).ok_or_else(|| anyhow!("this program has no lessons"))
    }

    /// The stage that a person names, else the current one.
    pub(super) fn stage(&self, arg: &StageArg) -> anyhow::Result<&'static Lesson> {
        match &arg.stage {
            None => self.current(),
            Some(name) => named(name, self.language),
        }
    }

    /// Changes what is kept of the learner's progress.
    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) -> anyhow::Result<Progress> {
        update(&self.workspace.progress(), self.language, change)
    }
}

fn update(
    file: &ProgressFile,
    language: Language,
    change: impl FnOnce(&mut Progress),
) -> anyhow::Result<Progress> {
    file.update(change).map_err(|error| anyhow!(error.explain(language)))
}

/// The stage of this name.
pub(super) fn named(name: &str, language: Language) -> anyhow::Result<&'static Lesson> {
    lesson::find(name).ok_or_else(|| {
        let ids: Vec<_> = lesson::all().iter().map(Lesson::id).collect();
        let ids = ids.join(", ");
        let text = match language {
            Language::En => format!("there is no stage {name:?}; there are {ids}"),
            Language::Zh => format!("没有名为 {name:?} 的阶段；现有：{ids}"),
        };
        UsageError(text).into()
    })
}

fn no_workspace(here: &Path, language: Language) -> anyhow::Error {
    let (program, here) = (invocation(), here.display());
    UsageError(match language {
        Language::En => format!(
            "no workspace in {here} or above it; make one with `{program} init {USUAL_FOLDER}`, \
             then `cd {USUAL_FOLDER}`"
        ),
        Language::Zh => format!(
            "{here} 及其上级目录中没有学习目录；请先执行 `{program} init {USUAL_FOLDER}`，再 \
             `cd {USUAL_FOLDER}`"
        ),
    })
    .into()
}

/// A path as it is best typed here: relative where that is shorter.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
