//! Watches the configuration file and those that it names, and says when one has
//! changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::select_all;
use notify::{RecursiveMode, Watcher};
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
pub struct FileWatches(Vec<FileWatch>);

/// Tells each change of a file.
struct FileWatch {
    changes: mpsc::Receiver<()>,
    content: Option<Vec<u8>>,
    file: PathBuf,
    _watcher: Option<notify::RecommendedWatcher>,
}

// === impl FileWatches ===

impl FileWatches {
    /// Watches these files from now on and no others. Says whether some of them were
    /// not watched before: what has been read of those may be old by now.
    pub fn keep(&mut self, files: &[PathBuf]) -> bool {
        self.0.retain(|watch| files.contains(&watch.file));
        let mut begun = false;
        for file in files {
            if !self.0.iter().any(|watch| watch.file == *file) {
                self.0.push(FileWatch::begin(file));
                begun = true;
            }
        }
        begun
    }

    /// Waits until one of the files has another content; for ever, if there is none.
    pub async fn changed(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|watch| Box::pin(watch.changed()))).await;
    }
}

// === impl FileWatch ===

impl FileWatch {
    /// Begins to watch; where the system cannot, the log says so and only signals
    /// and the admin listener reload.
    fn begin(file: &Path) -> Self {
        let (change, changes) = mpsc::channel(1);
        // The folder is watched: many editors put a new file in the place of the
        // old one, and the old one would be watched for ever.
        let folder = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let watcher = notify::recommended_watcher(move |_| {
            let _ = change.try_send(());
        })
        .and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        })
        .inspect_err(|error| {
            warn!(target: "reload", file = %file.display(), reason = %error,
                "the file cannot be watched, reload with SIGHUP when it changes");
        });
        Self {
            changes,
            content: std::fs::read(file).ok(),
            file: file.to_owned(),
            _watcher: watcher.ok(),
        }
    }

    /// Waits until the file has another content.
    async fn changed(&mut self) {
        loop {
            if self.changes.recv().await.is_none() {
                // Nobody watches.
                return std::future::pending().await;
            }
            let settled = async {
                while let Ok(Some(())) = tokio::time::timeout(SETTLE, self.changes.recv()).await {}
            };
            let _ = tokio::time::timeout(PATIENCE, settled).await;
            // A file that is away for a moment is about to come back.
            let content = std::fs::read(&self.file).ok();
            if content.is_some() && content != self.content {
                self.content = content;
                return;
            }
        }
    }
}
