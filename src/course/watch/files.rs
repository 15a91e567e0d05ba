//! Saves, noticed: by the system's file events where they come, and in any case
//! by looking every half a second, since on some file systems (shared folders,
//! some containers) none come.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};

use super::model::Input;
use crate::course::progress::ProgressFile;
use crate::course::workspace::Workspace;

/// Between two looks where no events come.
const LOOK: Duration = Duration::from_millis(500);

/// Editors write a file in several steps; they are over when nothing has
/// happened for so long.
const QUIET: Duration = Duration::from_millis(40);

/// The depth to which modules of a stage are looked for.
const DEPTH: usize = 4;

/// A watch over a stage's code, and the workspace's progress. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct Files {
    wake: mpsc::Sender<Word>,
}

#[derive(Debug)]
enum Word {
    /// Something may have changed.
    Look,
    /// It is over.
    Stop,
}

/// The content of everything that a stage is built from, as far as a learner
/// changes it.
type Content = Vec<(PathBuf, Vec<u8>)>;

impl Files {
    /// Watches from now on: what is saved after this call is told.
    pub fn watch(
        workspace: &Workspace,
        file: PathBuf,
        tell: impl Fn(Input) -> bool + Send + 'static,
    ) -> Self {
        let (wake, words) = mpsc::channel();
        let folder = file.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let manifest = workspace.root().join("Cargo.toml");
        let progress = workspace.progress();
        let mut last = content(&file, &folder, &manifest);
        let mut kept = progress.read().ok();
        let events = wake.clone();
        let run = move || {
            // Without a watcher the looks alone must do.
            let _watcher = watcher(&folder, events);
            loop {
                match words.recv_timeout(LOOK) {
                    Ok(Word::Look) => {
                        if !settled(&words) {
                            return;
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(Word::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
                let now = content(&file, &folder, &manifest);
                // While an editor puts the new file in place there is none.
                if now != last && !now.is_empty() {
                    last = now;
                    if !tell(Input::Saved) {
                        return;
                    }
                }
                if let Some(input) = progressed(&progress, &mut kept)
                    && !tell(input)
                {
                    return;
                }
            }
        };
        thread::spawn(run);
        Self { wake }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.wake.send(Word::Stop);
    }
}

/// Waits until nothing more happens; false where it is over.
fn settled(words: &mpsc::Receiver<Word>) -> bool {
    // Somebody who writes without end is looked at all the same.
    for _ in 0..10 {
        match words.recv_timeout(QUIET) {
            Ok(Word::Look) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return true,
            Ok(Word::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

fn watcher(folder: &Path, events: mpsc::Sender<Word>) -> Option<notify::RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too, and no reason to look.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = events.send(Word::Look);
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

/// Progress that is not as it was. One that cannot be read is no news: whoever
/// writes it next will say so.
fn progressed(
    file: &ProgressFile,
    kept: &mut Option<crate::course::progress::Progress>,
) -> Option<Input> {
    let now = file.read().ok();
    if now == *kept {
        return None;
    }
    kept.clone_from(&now);
    now.map(Input::Progress)
}

/// Everything, since the files are small: times and lengths can deceive.
fn content(file: &Path, folder: &Path, manifest: &Path) -> Content {
    let mut content = Vec::new();
    let Ok(main) = std::fs::read(file) else { return content };
    content.push((file.to_owned(), main));
    modules(folder, DEPTH, &mut content);
    if let Ok(text) = std::fs::read(manifest) {
        content.push((manifest.to_owned(), text));
    }
    content
}

fn modules(folder: &Path, depth: usize, content: &mut Content) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth > 0 {
            modules(&path, depth - 1, content);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && let Ok(text) = std::fs::read(&path)
        {
            content.push((path, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::workspace::init;
    use crate::language::Language;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A watch over the first stage of a new workspace, and what it tells.
    fn watched() -> (tempfile::TempDir, PathBuf, Files, mpsc::Receiver<Input>) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = init(&folder.path().join("lab"), Language::En).unwrap().workspace;
        let file = workspace.stage_file(crate::course::lesson::find("1").unwrap());
        let (send, told) = mpsc::channel();
        let files = Files::watch(&workspace, file.clone(), move |input| send.send(input).is_ok());
        (folder, file, files, told)
    }

    #[test]
    fn a_save_is_told_once_whether_in_place_or_by_renaming() {
        let (_folder, file, _files, told) = watched();
        std::fs::write(&file, "fn main() {}").unwrap();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Input::Saved)));
        let beside = file.with_extension("new");
        std::fs::write(&beside, "fn main() { }").unwrap();
        std::fs::rename(&beside, &file).unwrap();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Input::Saved)));
        // The same bytes again are no save; what comes next is another's.
        std::fs::write(&file, "fn main() { }").unwrap();
        let progress = file.ancestors().nth(3).unwrap().join(".lab/progress.json");
        ProgressFile::new(progress).update(|p| p.current = Some("02-round-robin".into())).unwrap();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Input::Progress(_))));
    }

    #[test]
    fn without_events_the_looks_find_a_module_and_a_dependency() {
        // Neither lies in the folder that events are asked for.
        let (_folder, file, _files, told) = watched();
        let deeper = file.with_file_name("pool");
        std::fs::create_dir(&deeper).unwrap();
        std::fs::write(deeper.join("mod.rs"), "pub fn pick() {}").unwrap();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Input::Saved)));
        let manifest = file.ancestors().nth(3).unwrap().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text + "\n# more\n").unwrap();
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Input::Saved)));
    }
}
