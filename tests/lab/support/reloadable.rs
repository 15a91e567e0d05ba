//! A load balancer whose file changes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Balancer, get};

/// A load balancer whose file can be written anew.
pub struct Reloadable {
    _folder: tempfile::TempDir,
    pub file: PathBuf,
    pub balancer: Balancer,
}

impl Reloadable {
    pub fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lab.toml");
        std::fs::write(&file, text).unwrap();
        let balancer = Balancer::start(&["--config", file.to_str().unwrap()]);
        Self { _folder: folder, file, balancer }
    }

    /// As an editor does it: a new file in the place of the old one.
    pub fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// Waits for the log to say what became of a reload.
    pub fn wait_for_reload(&self, result: &str) -> Value {
        self.balancer.event(|event| {
            (event["target"] == "reload" && event["message"].as_str()?.contains(result))
                .then(|| event.clone())
        })
    }

    /// Waits until a path is answered with this body. A change of the file may be
    /// seen as several.
    pub fn wait_for_body(&self, path: &str, body: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while get(self.balancer.address, path, &[]).text() != body {
            assert!(Instant::now() < deadline, "{path} is not answered with {body}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
