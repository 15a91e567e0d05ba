//! The learner's workspace: a Cargo project with one binary for each stage.
//!
//! It is the learner's. Nothing here writes over a file of theirs: what is
//! missing is added, and a stage that is begun again keeps what was there.

mod carry;
mod init;
mod manifest;
pub(super) mod template;
mod trouble;

pub use carry::Carried;
pub use init::{Initialised, init};
pub use trouble::WorkspaceError;

use std::path::{Path, PathBuf};

use super::lesson::{self, Lesson};
use super::progress::ProgressFile;
use super::replace::{create, replace};

/// The folder by which a workspace is known.
const MARKER: &str = ".lab";

/// What is put behind the name of a file that is kept, before a number.
const BACKUP: &str = ".bak-";

/// How deep below a stage's folder its modules are looked for.
const DEPTH: usize = 4;

/// A learner's workspace that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that a folder lies in, or is.
    pub fn find(from: &Path) -> Option<Self> {
        let from = std::path::absolute(from).ok()?;
        let root = from.ancestors().find(|folder| folder.join(MARKER).is_dir())?;
        Some(Self { root: root.to_owned() })
    }

    /// Its folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that a learner writes for a stage.
    pub fn stage_file(&self, lesson: &Lesson) -> PathBuf {
        self.root.join(stage_path(lesson))
    }

    /// The learner's own copy of the guide; they may have removed it.
    pub fn todo(&self) -> PathBuf {
        self.root.join("TODO.md")
    }

    /// Where progress is kept.
    pub fn progress(&self) -> ProgressFile {
        ProgressFile::new(self.root.join(MARKER).join("progress.json"))
    }

    /// Adds what stages of this version of the course need and the workspace
    /// lacks: their files, and their binaries and dependencies in `Cargo.toml`. Returns the files
    /// added. Quick where there is nothing to add.
    ///
    /// # Errors
    ///
    /// Where a file can't be written, or `Cargo.toml` can't be understood.
    pub fn add_missing_stages(&self) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut added = Vec::new();
        for lesson in lesson::all() {
            let file = self.stage_file(lesson);
            if !file.exists() && self.add(&file, lesson.starter().as_bytes(), 0o644)? {
                added.push(file);
            }
        }
        // The files come first: Cargo refuses a binary without its file.
        let manifest = self.root.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).map_err(|cause| at(&manifest, cause))?;
        let wanted = lesson::all().iter().map(|lesson| (lesson.id(), stage_path(lesson)));
        let more = manifest::with_stages(&text, wanted)
            .map_err(|reason| WorkspaceError::Manifest { path: manifest.clone(), reason })?;
        if let Some(more) = more {
            replace(&manifest, more.as_bytes()).map_err(|cause| at(&manifest, cause))?;
        }
        Ok(added)
    }

    /// Begins a stage again: its file is the starter. What was there is kept
    /// beside it, under the path returned; nothing is kept of a file that is the
    /// starter already, or is missing.
    ///
    /// # Errors
    ///
    /// Where a file can't be read or written; the learner's is as it was then.
    pub fn reset(&self, lesson: &Lesson) -> Result<Option<PathBuf>, WorkspaceError> {
        let file = self.stage_file(lesson);
        let theirs = match std::fs::read(&file) {
            Ok(theirs) => theirs,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.add(&file, lesson.starter().as_bytes(), 0o644)?;
                return Ok(None);
            }
            Err(cause) => return Err(at(&file, cause)),
        };
        if theirs == lesson.starter().as_bytes() {
            return Ok(None);
        }
        let kept = keep_beside(&file, &theirs)?;
        replace(&file, lesson.starter().as_bytes()).map_err(|cause| at(&file, cause))?;
        Ok(Some(kept))
    }

    /// The files of a stage's folder, sorted: what a learner builds it from, down
    /// to four folders below. Hidden files, an editor's copies and those that were
    /// kept of what is written over are none of them.
    pub(super) fn files_of(&self, lesson: &Lesson) -> Vec<PathBuf> {
        let mut files = Vec::new();
        if let Some(folder) = self.stage_file(lesson).parent() {
            add_files(folder, DEPTH, &mut files);
        }
        files
    }

    /// Writes a file that is missing, with the folders that it needs.
    fn add(&self, file: &Path, content: &[u8], mode: u32) -> Result<bool, WorkspaceError> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| at(folder, cause))?;
        }
        create(file, content, mode).map_err(|cause| at(file, cause))
    }
}

/// Where a stage's file lies in a workspace.
fn stage_path(lesson: &Lesson) -> String {
    format!("stages/{}/main.rs", lesson.id())
}

/// Keeps what a file held, under a name beside it that nothing has.
fn keep_beside(file: &Path, content: &[u8]) -> Result<PathBuf, WorkspaceError> {
    let name = file.file_name().unwrap_or_default();
    let mut number = 1;
    loop {
        let mut kept = name.to_owned();
        kept.push(format!("{BACKUP}{number}"));
        let kept = file.with_file_name(kept);
        if create(&kept, content, 0o644).map_err(|cause| at(&kept, cause))? {
            return Ok(kept);
        }
        number += 1;
    }
}

fn add_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name.ends_with('~') || name.contains(BACKUP) {
            continue;
        }
        if !path.is_dir() {
            files.push(path);
        } else if depth > 0 {
            add_files(&path, depth - 1, files);
        }
    }
}

fn at(path: &Path, cause: std::io::Error) -> WorkspaceError {
    WorkspaceError::Io { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests;
