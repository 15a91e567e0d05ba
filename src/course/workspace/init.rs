//! A workspace made, or completed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{MARKER, Workspace, WorkspaceError, at, stage_path, template};
use crate::course::lesson;
use crate::language::Language;

/// What [`init`] did.
#[derive(Debug)]
pub struct Initialised {
    /// The workspace.
    pub workspace: Workspace,
    /// The files written, from the workspace's folder.
    pub written: Vec<PathBuf>,
    /// The files that were there and say something else: they were left alone.
    pub left: Vec<PathBuf>,
}

/// Makes a workspace of a folder, which need not exist; the folders above it
/// are made too. Texts that are read rather than compiled are in `language`.
///
/// Nothing is ever written over. In a folder that holds other things, or a
/// workspace already, only what is missing is added.
///
/// # Errors
///
/// Where the folder holds another Cargo project (nothing is written then), or a
/// file can't be written; a second try adds what is missing.
pub fn init(folder: &Path, language: Language) -> Result<Initialised, WorkspaceError> {
    let root = std::path::absolute(folder).map_err(|cause| at(folder, cause))?;
    let manifest = root.join("Cargo.toml");
    if !root.join(MARKER).is_dir() && std::fs::symlink_metadata(&manifest).is_ok() {
        return Err(WorkspaceError::OtherProject(manifest));
    }
    // First of all the mark: what is begun can be completed.
    for folder in [root.clone(), root.join(MARKER)] {
        std::fs::create_dir_all(&folder).map_err(|cause| match file_above(&folder) {
            Some(file) => WorkspaceError::NotAFolder(file),
            None => at(&folder, cause),
        })?;
    }
    let workspace = Workspace { root };
    let mut done = Initialised { workspace, written: Vec::new(), left: Vec::new() };

    for lesson in lesson::all() {
        done.add(&stage_path(lesson), lesson.starter(), 0o644)?;
    }
    for (path, text, mode) in template::FIXED {
        done.add(path, text, *mode)?;
    }
    done.add("TODO.md", &template::guide(language), 0o644)?;
    done.add("README.md", template::readme(language), 0o644)?;
    let binaries = lesson::all().iter().map(|lesson| (lesson.id(), stage_path(lesson)));
    done.add("Cargo.toml", &template::manifest(binaries), 0o644)?;
    // Where `Cargo.toml` was there already, of an older version.
    done.workspace.add_missing_stages()?;
    Ok(done)
}

impl Initialised {
    fn add(&mut self, path: &str, text: &str, mode: u32) -> Result<(), WorkspaceError> {
        let file = self.workspace.root.join(path);
        if self.workspace.add(&file, text.as_bytes(), mode)? {
            self.written.push(path.into());
        } else if std::fs::read(&file).ok().as_deref() != Some(text.as_bytes()) {
            self.left.push(path.into());
        }
        Ok(())
    }
}

/// The file that stands where a folder is needed, if that is what is wrong.
fn file_above(folder: &Path) -> Option<PathBuf> {
    let there = |path: &&Path| match std::fs::metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    let nearest = folder.ancestors().find(there)?;
    nearest.is_file().then(|| nearest.to_owned())
}
