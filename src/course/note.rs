//! What a report changes in the workspace: progress, and boxes of `TODO.md`.

use std::io;
use std::path::PathBuf;

use super::progress::ProgressError;
use super::todo;
use super::trial::Report;
use super::workspace::Workspace;
use crate::judge::State;
use crate::language::Language;

/// Why what was passed could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// Progress could not be kept.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The boxes could not be ticked.
    #[error("cannot tick the boxes of {file}: {cause}", file = file.display())]
    Boxes {
        /// The learner's guide.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl NoteError {
    /// The state, the reason, the next step.
    pub fn explain(&self, language: Language) -> String {
        match (self, language) {
            (Self::Progress(error), language) => error.explain(language),
            (Self::Boxes { .. }, Language::En) => format!("{self}; see that it can be written"),
            (Self::Boxes { file, cause }, Language::Zh) => {
                format!("无法勾选 {} 里的检查项：{cause}；请确认该文件可写", file.display())
            }
        }
    }
}

/// Keeps what was passed, and ticks its boxes.
///
/// # Errors
///
/// Where a file can't be read or written.
pub fn note(workspace: &Workspace, report: &Report) -> Result<(), NoteError> {
    let id = report.lesson.id();
    if report.state() == State::Pass {
        let now = jiff::Timestamp::now();
        workspace.progress().update(|progress| {
            progress.pass(id, report.seed, now);
            // Who has chosen no stage is at the first that is not passed, which
            // would now be another: one leaves a stage by going on.
            progress.current.get_or_insert_with(|| id.to_owned());
        })?;
    }
    let passed = report.passed();
    if !passed.is_empty() {
        let file = workspace.todo();
        todo::tick(&file, id, &passed).map_err(|cause| NoteError::Boxes { file, cause })?;
    }
    Ok(())
}
