//! Watches the configuration file and those that it names, and says when one has
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

/// Editors write a file in several steps; this long after the last of them it is
/// read.
const SETTLE: Duration = Duration::from_millis(50);

/// However long steps follow each other, it is read after this: they may be those of
/// another file in the folder, such as a log.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells each change of any of some files.
#[derive(Default)]
pub struct FileWatches {
    /// The files, with what they held when they were last looked at.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Made with the first file. One for all: the system grants a user few of them
    /// (on Linux 128 as a rule).
    watch: Option<Watch>,
}

/// What the system tells.
struct Watch {
    changes: mpsc::Receiver<()>,
    /// Folders are watched: many editors put a new file in the place of the old one,
    /// and the old one would be watched for ever.
    folders: BTreeSet<PathBuf>,
    /// None where the system has none to give.
    watcher: Option<RecommendedWatcher>,
}

// === impl FileWatches ===

impl FileWatches {
    /// Watches these files from now on and no others. Says whether some of them were
    /// not watched before: what has been read of those may be old by now. A pipe, which
    /// can be read only once, is left to whoever needs what is in it.
    pub fn keep(&mut self, files: &[PathBuf]) -> bool {
        let is_pipe = |file: &Path| std::fs::metadata(file).is_ok_and(|found| !found.is_file());
        let files: Vec<_> = files.iter().filter(|file| !is_pipe(file)).collect();
        if self.watch.is_none() && !files.is_empty() {
            self.watch = Some(Watch::begin());
        }
        if let Some(watch) = &mut self.watch {
            watch.keep(files.iter().flat_map(|file| folders(file)).collect());
        }
        self.files.retain(|file, _| files.contains(&file));
        let mut begun = false;
        for file in files {
            self.files.entry(file.to_owned()).or_insert_with(|| {
                begun = true;
                std::fs::read(file).ok()
            });
        }
        begun
    }

    /// Waits until some of the files have another content; for ever, if there are none.
    pub async fn changed(&mut self) {
        let Some(watch) = &mut self.watch else { return std::future::pending().await };
        loop {
            watch.settled().await;
            let mut changed = false;
            for (file, known) in &mut self.files {
                // A file that is away for a moment is about to come back.
                let content = std::fs::read(file).ok();
                if content.is_some() && content != *known {
                    *known = content;
                    changed = true;
                }
            }
            if changed {
                return;
            }
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Begins to listen; where the system cannot, the log says so and only signals and
    /// the admin listener reload.
    fn begin() -> Self {
        let (change, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event| {
            if may_change(&event) {
                // One that waits already says as much.
                let _ = change.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            warn!(target: "reload", reason = %error,
                "files cannot be watched, reload with SIGHUP when they change");
        });
        Self { changes, folders: BTreeSet::new(), watcher: watcher.ok() }
    }

    /// Watches these folders from now on and no others.
    fn keep(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // It may have been deleted, and nobody watches then.
            let _ = watcher.unwatch(gone);
        }
        // Those that were watched too: another may have taken the place of one.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!(target: "reload", folder = %folder.display(), reason = %error,
                    "the folder's files cannot be watched, reload with SIGHUP when they change");
            }
        }
        self.folders = folders;
    }

    /// Waits until something has happened in the folders, and is over.
    async fn settled(&mut self) {
        if self.changes.recv().await.is_none() {
            // Nobody watches.
            return std::future::pending().await;
        }
        let over = async {
            while let Ok(Some(())) = tokio::time::timeout(SETTLE, self.changes.recv()).await {}
        };
        let _ = tokio::time::timeout(PATIENCE, over).await;
    }
}

/// Where a change of the file shows: in its folder, and in that of the file that it
/// is a link to.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let linked = std::fs::canonicalize(file).ok();
    let folder = |file: PathBuf| match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    [Some(file.to_owned()), linked].into_iter().flatten().map(folder)
}

/// Whether a file may have another content since. To read one is an event too, our own
/// reading among them: whoever looked then would look for ever.
fn may_change(event: &notify::Result<notify::Event>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            kind => !kind.is_access(),
        },
        // Some were lost.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long an event may take on a busy machine.
    const EVENT: Duration = Duration::from_secs(20);

    fn files(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
        let file = |name| {
            let file = folder.join(name);
            std::fs::write(&file, "old").unwrap();
            file
        };
        names.iter().map(file).collect()
    }

    #[tokio::test]
    async fn a_look_at_the_files_is_no_reason_to_look_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), &["a", "b"]);
        let mut watches = FileWatches::default();
        assert!(watches.keep(&files));
        for file in &files {
            std::fs::write(file, "new").unwrap();
        }
        tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
        let watch = watches.watch.as_mut().unwrap();
        let quiet =
            async { while tokio::time::timeout(SETTLE * 4, watch.changes.recv()).await.is_ok() {} };
        tokio::time::timeout(EVENT, quiet).await.unwrap();
        for file in &files {
            std::fs::read(file).unwrap();
        }
        assert!(tokio::time::timeout(SETTLE * 4, watch.changes.recv()).await.is_err());
    }

    #[tokio::test]
    async fn each_file_of_each_folder_is_watched_until_it_is_not_kept() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = [&folders[0], &folders[1]].map(|f| files(f.path(), &["a"])[0].clone());
        let mut watches = FileWatches::default();
        assert!(watches.keep(&[one.clone(), other.clone()]));
        for file in [&one, &other] {
            std::fs::write(file, "new").unwrap();
            tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
        }
        assert!(!watches.keep(std::slice::from_ref(&other)));
        std::fs::write(&one, "newer").unwrap();
        let told = tokio::time::timeout(SETTLE * 4, watches.changed()).await;
        assert!(told.is_err());
        // It is put in the other's place, as editors do it.
        let beside = folders[1].path().join("beside");
        std::fs::write(&beside, "newer").unwrap();
        std::fs::rename(&beside, &other).unwrap();
        tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
        // What is watched anew may be old by now.
        assert!(watches.keep(&[one, other]));
    }

    /// As certbot and Kubernetes lay files out.
    #[cfg(unix)]
    #[tokio::test]
    async fn what_a_link_leads_to_is_watched_and_so_is_the_link() {
        use std::os::unix::fs::symlink;

        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let links_to = files(there.path(), &["a", "b"]);
        let link = here.path().join("link");
        symlink(&links_to[0], &link).unwrap();
        let mut watches = FileWatches::default();
        watches.keep(std::slice::from_ref(&link));
        std::fs::write(&links_to[0], "new").unwrap();
        tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
        let beside = here.path().join("beside");
        symlink(&links_to[1], &beside).unwrap();
        std::fs::rename(&beside, &link).unwrap();
        tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
    }

    /// As with `--config <(sops -d lab.toml)`, or `/dev/stdin`.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_can_be_read_only_once_is_left_to_whoever_needs_it() {
        use std::io::Write;
        use std::os::fd::AsRawFd;

        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"threads = 1").unwrap();
        drop(writer);
        let file = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        let mut watches = FileWatches::default();
        watches.keep(std::slice::from_ref(&file));
        assert_eq!(std::fs::read(&file).unwrap(), b"threads = 1");
    }

    #[tokio::test]
    async fn a_folder_that_was_put_in_anothers_place_is_watched_from_the_next_keep_on() {
        let above = tempfile::tempdir().unwrap();
        let [folder, gone] = ["folder", "gone"].map(|name| above.path().join(name));
        std::fs::create_dir(&folder).unwrap();
        let files = files(&folder, &["a"]);
        let mut watches = FileWatches::default();
        watches.keep(&files);
        std::fs::rename(&folder, gone).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert!(!watches.keep(&files));
        std::fs::write(&files[0], "new").unwrap();
        tokio::time::timeout(EVENT, watches.changed()).await.unwrap();
    }
}
