//! A learner's own program, carried on to another stage.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Workspace, WorkspaceError, at, keep_beside};
use crate::course::lesson::Lesson;
use crate::course::replace::replace;

/// What [`Workspace::carry`] did; every path is absolute.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The files that are in the other stage's folder now.
    pub written: Vec<PathBuf>,
    /// Where that which was there and said something else is kept.
    pub kept: Vec<PathBuf>,
}

// === impl Workspace ===

impl Workspace {
    /// Makes a stage's program of another stage's: its file and all that lies
    /// beside it and below. What was there and says something else is kept beside
    /// it, but for the starter; what has no counterpart is left alone. Nothing is
    /// written where everything is so already.
    ///
    /// # Errors
    ///
    /// Where a file can't be read or written. The stage's own file is the last to
    /// be written, so that a second try completes it.
    pub fn carry(&self, from: &Lesson, to: &Lesson) -> Result<Carried, WorkspaceError> {
        let (main, target) = (self.stage_file(from), self.stage_file(to));
        let (Some(source), Some(folder)) = (main.parent(), target.parent()) else {
            return Ok(Carried::default());
        };
        let mut files = self.files_of(from);
        files.sort_by_key(|file| *file == main);
        let mut carried = Carried::default();
        for file in files {
            let Ok(name) = file.strip_prefix(source) else { continue };
            let content = std::fs::read(&file).map_err(|cause| at(&file, cause))?;
            let starter = (file == main).then(|| to.starter());
            self.put(&folder.join(name), &content, starter, &mut carried)?;
        }
        Ok(carried)
    }

    fn put(
        &self,
        file: &Path,
        content: &[u8],
        starter: Option<&str>,
        carried: &mut Carried,
    ) -> Result<(), WorkspaceError> {
        match std::fs::read(file) {
            Ok(there) if there == content => return Ok(()),
            Ok(there) => {
                if starter.is_none_or(|starter| there != starter.as_bytes()) {
                    carried.kept.push(keep_beside(file, &there)?);
                }
                replace(file, content).map_err(|cause| at(file, cause))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.add(file, content, 0o644)?;
            }
            Err(cause) => return Err(at(file, cause)),
        }
        carried.written.push(file.to_owned());
        Ok(())
    }
}
