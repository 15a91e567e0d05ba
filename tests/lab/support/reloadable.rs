//! A load balancer whose files change.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Balancer, get};

/// A load balancer whose files can be written anew.
pub struct Reloadable {
    _folder: tempfile::TempDir,
    pub file: PathBuf,
    pub balancer: Balancer,
}

impl Reloadable {
    pub fn start(text: &str) -> Self {
        Self::start_with(&[], |_| text.to_owned())
    }

    /// With further files beside it; the configuration is told their folder.
    pub fn start_with(files: &[(&str, &str)], text: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let file = folder.path().join("lab.toml");
        std::fs::write(&file, text(folder.path())).unwrap();
        let balancer = Balancer::start(&["--config", file.to_str().unwrap()]);
        Self { _folder: folder, file, balancer }
    }

    /// Writes the configuration.
    pub fn write(&self, text: &str) {
        self.write_file("lab.toml", text);
    }

    /// As an editor does it: a new file in the place of the old one.
    pub fn write_file(&self, name: &str, text: &str) {
        let (old, new) = (self.file.with_file_name(name), self.file.with_file_name("new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, old).unwrap();
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
