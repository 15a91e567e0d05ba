//! Watches the configuration file, and says when it has changed.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

/// Editors write a file in several steps; this long after the last of them it is
/// read.
const SETTLE: Duration = Duration::from_millis(50);

/// Tells each change of a file.
pub struct FileWatch {
    changes: mpsc::Receiver<()>,
    content: Option<Vec<u8>>,
    file: std::path::PathBuf,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl FileWatch {
    /// Begins to watch; where the system cannot, the log says so and only signals
    /// and the admin listener reload.
    pub fn begin(file: &Path) -> Self {
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
                "the configuration cannot be watched, reload it with SIGHUP");
        });
        Self {
            changes,
            content: std::fs::read(file).ok(),
            file: file.to_owned(),
            _watcher: watcher.ok(),
        }
    }

    /// Waits until the file has another content.
    pub async fn changed(&mut self) {
        loop {
            if self.changes.recv().await.is_none() {
                // Nobody watches.
                return std::future::pending().await;
            }
            while let Ok(Some(())) = tokio::time::timeout(SETTLE, self.changes.recv()).await {}
            // A file that is away for a moment is about to come back.
            let content = std::fs::read(&self.file).ok();
            if content.is_some() && content != self.content {
                self.content = content;
                return;
            }
        }
    }
}
