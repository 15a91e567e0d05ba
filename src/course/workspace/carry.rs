//! A learner's own program, carried on to another stage.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Workspace, WorkspaceError, at, keep_beside};
use crate::course::lesson::Lesson;
use crate::course::replace::replace;
use crate::language::Language;

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

// === impl Carried ===

impl Carried {
    /// What became of the files, a sentence an item; `shown` is how a path is best
    /// shown.
    pub fn told(
        &self,
        from: &Lesson,
        to: &Lesson,
        language: Language,
        shown: impl Fn(&Path) -> String,
    ) -> Vec<String> {
        let from = from.id();
        let between = if language == Language::En { ", " } else { "、" };
        let list = |paths: Vec<&PathBuf>| {
            paths.into_iter().map(|path| shown(path)).collect::<Vec<_>>().join(between)
        };
        let mut lines = vec![match (self.written.is_empty(), language) {
            (true, Language::En) => format!("It is your program of {from} already."),
            (true, Language::Zh) => format!("它已经是你在 {from} 写的程序。"),
            (false, Language::En) => {
                format!("It is your program of {from} now; add what this stage asks.")
            }
            (false, Language::Zh) => {
                format!("它现在是你在 {from} 写的程序，请在上面加入本阶段的功能。")
            }
        }];
        // The stage's own file is what "it" is.
        let main = Path::new(to.id()).join("main.rs");
        let modules: Vec<_> = self.written.iter().filter(|file| !file.ends_with(&main)).collect();
        if !modules.is_empty() {
            lines.push(match language {
                Language::En => format!("With it came {}.", list(modules)),
                Language::Zh => format!("一同带来的文件：{}。", list(modules)),
            });
        }
        if !self.kept.is_empty() {
            let kept = list(self.kept.iter().collect());
            lines.push(match language {
                Language::En => format!("What was there is kept as {kept}."),
                Language::Zh => format!("原来的内容保留在 {kept}。"),
            });
        }
        lines
    }
}
