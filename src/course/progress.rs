//! What a learner has passed, kept in the workspace's `.lab/progress.json`.
//!
//! Every change is read, made and written under a lock, so that two commands at
//! once lose nothing, and the file is replaced whole, so that a command that is
//! killed leaves the old text or the new one. What this version doesn't know (a
//! newer one wrote it) stays in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::replace::replace;
use crate::language::Language;

/// What is known of a learner's way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The id of the stage at hand, if one was chosen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The stages passed, by their ids; unknown ids are a newer version's.
    #[serde(default)]
    pub passed: BTreeMap<String, Pass>,
    /// How many hints were shown, by the stage's id.
    #[serde(default)]
    pub hints: BTreeMap<String, usize>,
    /// The language last chosen; a name, since a newer version may know more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// How a stage was passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// The seed of the run.
    pub seed: u64,
    /// When, first.
    pub when: Timestamp,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Progress {
    /// Notes that a stage was passed. The first pass stays.
    pub fn pass(&mut self, stage: &str, seed: u64, when: Timestamp) {
        let pass = Pass { seed, when, unknown: Map::new() };
        self.passed.entry(stage.to_owned()).or_insert(pass);
    }

    /// Whether a stage was passed.
    pub fn has_passed(&self, stage: &str) -> bool {
        self.passed.contains_key(stage)
    }

    /// The language last chosen, if this version knows it.
    pub fn language(&self) -> Option<Language> {
        serde_json::from_value(Value::String(self.language.clone()?)).ok()
    }

    /// Keeps the language for the next time.
    pub fn set_language(&mut self, language: Language) {
        let name = match language {
            Language::En => "en",
            Language::Zh => "zh",
        };
        self.language = Some(name.to_owned());
    }
}

/// Why progress can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The file was not what this program writes; it was moved aside, and the
    /// next call begins anew.
    #[error("{path} was damaged ({reason}) and is kept as {kept}", path = path.display(), kept = kept.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        kept: PathBuf,
        /// What is wrong with it, with line and column.
        reason: String,
    },
    /// The system refused.
    #[error("cannot keep progress in {path}: {cause}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl ProgressError {
    /// The state, the reason, the next step.
    pub fn explain(&self, language: Language) -> String {
        match (self, language) {
            (Self::Damaged { path, kept, reason }, Language::En) => format!(
                "{} cannot be read: {reason}. It is kept as {}. Mend it and move it back, or go \
                 on without it: `check all` notes again what passes",
                path.display(),
                kept.display()
            ),
            (Self::Damaged { path, kept, reason }, Language::Zh) => format!(
                "无法读取 {}：{reason}。原文件已保留为 {}。可以修好后移回原处，也可以直接继续：\
                 `check all` 会重新记录已通过的阶段",
                path.display(),
                kept.display()
            ),
            (Self::Io { path, cause }, Language::En) => {
                format!(
                    "progress cannot be kept in {}: {cause}; see that this file and its folder can be written",
                    path.display()
                )
            }
            (Self::Io { path, cause }, Language::Zh) => {
                format!("无法把进度写入 {}：{cause}；请确认该文件及其所在目录可写", path.display())
            }
        }
    }
}

/// The file that progress is kept in.
#[derive(Clone, Debug)]
pub struct ProgressFile {
    path: PathBuf,
}

impl ProgressFile {
    /// The file of this path. There need be none yet, but its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What is kept; nothing yet where there is no file.
    ///
    /// # Errors
    ///
    /// Where the file can't be read. One that is damaged is moved aside.
    pub fn read(&self) -> Result<Progress, ProgressError> {
        // Without the lock: files are replaced whole. A folder that can only be
        // read serves too.
        if let Ok(progress) = self.parse()? {
            return Ok(progress);
        }
        self.update(|_| ())
    }

    /// Changes what is kept, and returns it once it would survive the machine's
    /// end.
    ///
    /// # Errors
    ///
    /// Where the file can't be read or written; it is as it was then. One that
    /// is damaged is moved aside.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) -> Result<Progress, ProgressError> {
        let _lock = self.lock().map_err(|cause| self.io(cause))?;
        let mut progress = match self.parse()? {
            Ok(progress) => progress,
            Err(reason) => return Err(self.set_aside(reason)),
        };
        let before = progress.clone();
        change(&mut progress);
        if progress == before && self.path.exists() {
            return Ok(progress);
        }
        let mut text = serde_json::to_vec_pretty(&progress).map_err(|e| self.io(e.into()))?;
        text.push(b'\n');
        self.sweep();
        replace(&self.path, &text).map_err(|cause| self.io(cause))?;
        Ok(progress)
    }

    /// What is in the file, or what is wrong with it.
    fn parse(&self) -> Result<Result<Progress, String>, ProgressError> {
        match std::fs::read(&self.path) {
            Ok(text) => Ok(serde_json::from_slice(&text).map_err(|error| error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(Progress::default())),
            Err(cause) => Err(self.io(cause)),
        }
    }

    /// Holds off every other writer while the file is held. A lock beside the
    /// file, since the file itself is replaced.
    fn lock(&self) -> io::Result<File> {
        let path = self.path.with_extension("lock");
        let file = File::options().create(true).append(true).open(path)?;
        match file.lock() {
            // Some shared folders have no locks: then whole files must do.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
            locked => locked.map(|()| file),
        }
    }

    /// Moves a damaged file aside, under a name that nothing has.
    fn set_aside(&self, reason: String) -> ProgressError {
        let name = |n: u32| self.path.with_extension(format!("json.damaged-{n}"));
        let free = (1..).map(name).find(|path| std::fs::symlink_metadata(path).is_err());
        let kept = free.unwrap_or_else(|| name(0));
        match std::fs::rename(&self.path, &kept) {
            Ok(()) => ProgressError::Damaged { path: self.path.clone(), kept, reason },
            Err(cause) => self.io(cause),
        }
    }

    /// Removes what a writer that was killed left: under the lock, nobody else
    /// is writing here.
    fn sweep(&self) {
        let Some(Ok(entries)) = self.path.parent().map(Path::read_dir) else { return };
        for entry in entries.flatten() {
            if super::replace::is_unfinished(&entry.file_name()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn io(&self, cause: io::Error) -> ProgressError {
        ProgressError::Io { path: self.path.clone(), cause }
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
