//! Saves, noticed: by the system's file events where they come, and in any case
//! by looking every half a second, since on some file systems (shared folders,
//! some containers) none come.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use notify::{RecursiveMode, Watcher};

use crate::course::lesson::Lesson;
use crate::course::workspace::Workspace;

/// Between two looks where no events come.
const LOOK: Duration = Duration::from_millis(500);

/// Editors write a file in several steps; they are over when nothing has
/// changed for so long.
const QUIET: Duration = Duration::from_millis(40);

/// Somebody who writes without end, or has removed the file for good, is told of
/// all the same after so long.
const PATIENCE: Duration = Duration::from_millis(400);

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The stage's code was saved, or `Cargo.toml`.
    Saved,
    /// Progress was written, by this process or another.
    Progress,
}

/// Everything that a stage is built from, as far as a learner changes it, as it
/// is at one moment: the content, since times can deceive, and the times, so that
/// the same bytes saved again are a save too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    files: Vec<(PathBuf, Option<SystemTime>, Vec<u8>)>,
    /// Whether the stage's own file is there; while an editor puts the new one in
    /// place it may not be.
    whole: bool,
}

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

// === impl Snapshot ===

impl Snapshot {
    /// Takes it of a stage.
    pub fn of(workspace: &Workspace, lesson: &Lesson) -> Self {
        let main = workspace.stage_file(lesson);
        let mut snapshot = Self { files: Vec::new(), whole: main.is_file() };
        let code = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs");
        workspace.files_of(lesson).into_iter().filter(code).for_each(|file| snapshot.add(file));
        snapshot.add(workspace.root().join("Cargo.toml"));
        snapshot
    }

    fn add(&mut self, path: PathBuf) {
        let saved = std::fs::metadata(&path).and_then(|data| data.modified()).ok();
        if let Ok(content) = std::fs::read(&path) {
            self.files.push((path, saved, content));
        }
    }
}

// === impl Files ===

impl Files {
    /// Watches from now on: what is saved after this call is told. Saves that
    /// follow each other at once are told once.
    pub fn watch(
        workspace: &Workspace,
        lesson: &'static Lesson,
        tell: impl Fn(Noticed) -> bool + Send + 'static,
    ) -> Self {
        let (wake, words) = mpsc::channel();
        let workspace = workspace.clone();
        let mut last = Snapshot::of(&workspace, lesson);
        let mut kept = workspace.progress().read().ok();
        let events = wake.clone();
        let run = move || {
            // Without a watcher the looks alone must do.
            let _watcher = watcher(&workspace.stage_file(lesson), events);
            loop {
                match words.recv_timeout(LOOK) {
                    Ok(Word::Look) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(Word::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
                let now = Snapshot::of(&workspace, lesson);
                if now != last {
                    let Some(now) = settled(&words, now, || Snapshot::of(&workspace, lesson))
                    else {
                        return;
                    };
                    last = now;
                    if !tell(Noticed::Saved) {
                        return;
                    }
                }
                // One that cannot be read is no news: whoever writes it next will
                // say so.
                let now = workspace.progress().read().ok();
                if now != kept {
                    kept = now;
                    if !tell(Noticed::Progress) {
                        return;
                    }
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

/// Looks until nothing changes any more; nothing where it is over.
fn settled(
    words: &mpsc::Receiver<Word>,
    mut seen: Snapshot,
    look: impl Fn() -> Snapshot,
) -> Option<Snapshot> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match words.recv_timeout(QUIET) {
            Ok(Word::Look) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let now = look();
                if now == seen && now.whole {
                    return Some(now);
                }
                seen = now;
            }
            Ok(Word::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        }
    }
    Some(look())
}

fn watcher(file: &Path, events: mpsc::Sender<Word>) -> Option<notify::RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too, and no reason to look.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = events.send(Word::Look);
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(file.parent()?, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::lesson;
    use crate::course::workspace::init;
    use crate::language::Language;

    /// How long an event may take on a busy machine.
    const EVENT: Duration = Duration::from_secs(10);

    /// A watch over the first stage of a new workspace.
    struct Watched {
        _folder: tempfile::TempDir,
        workspace: Workspace,
        file: PathBuf,
        _files: Files,
        told: mpsc::Receiver<Noticed>,
    }

    impl Watched {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let workspace = init(&folder.path().join("lab"), Language::En).unwrap().workspace;
            let lesson = lesson::find("1").unwrap();
            let (send, told) = mpsc::channel();
            let tell = move |noticed| send.send(noticed).is_ok();
            let files = Files::watch(&workspace, lesson, tell);
            let file = workspace.stage_file(lesson);
            Self { _folder: folder, workspace, file, _files: files, told }
        }

        fn next(&self) -> Noticed {
            self.told.recv_timeout(EVENT).expect("something is noticed")
        }

        /// Something of which word comes after that of all before it.
        fn mark(&self, stage: &str) {
            let kept = self.workspace.progress().update(|p| p.current = Some(stage.into()));
            kept.unwrap();
        }
    }

    #[test]
    fn a_save_is_told_once_however_the_editor_does_it() {
        let watched = Watched::new();
        // In place, in a burst of many steps.
        for step in 0..30 {
            std::fs::write(&watched.file, "fn main() {}".repeat(step)).unwrap();
        }
        assert_eq!(watched.next(), Noticed::Saved);
        // By renaming; the file is missing between.
        let beside = watched.file.with_extension("new");
        std::fs::write(&beside, "fn main() { }").unwrap();
        std::fs::remove_file(&watched.file).unwrap();
        std::fs::rename(&beside, &watched.file).unwrap();
        assert_eq!(watched.next(), Noticed::Saved);
        // The same bytes.
        std::fs::write(&watched.file, "fn main() { }").unwrap();
        assert_eq!(watched.next(), Noticed::Saved);
        watched.mark("02-round-robin");
        assert_eq!(watched.next(), Noticed::Progress, "each save was told once");
    }

    #[test]
    fn a_file_that_is_gone_for_good_is_told_of() {
        let watched = Watched::new();
        std::fs::remove_file(&watched.file).unwrap();
        assert_eq!(watched.next(), Noticed::Saved);
    }

    #[test]
    fn without_events_the_looks_find_a_module_and_a_dependency() {
        // Neither lies in the folder that events are asked for.
        let watched = Watched::new();
        let deeper = watched.file.with_file_name("pool");
        std::fs::create_dir(&deeper).unwrap();
        std::fs::write(deeper.join("mod.rs"), "pub fn pick() {}").unwrap();
        assert_eq!(watched.next(), Noticed::Saved);
        let manifest = watched.workspace.root().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text + "\n# more\n").unwrap();
        assert_eq!(watched.next(), Noticed::Saved);
    }
}
