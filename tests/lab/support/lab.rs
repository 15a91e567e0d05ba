//! A learner's workspace, in which a stage is built in an instant.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::Program;

/// A program that passes the first stage: a proxy that needs nothing but Rust's own
/// library.
pub const RIGHT: &str = include_str!("relay.rs");

/// [`RIGHT`], built: once for all tests of a run.
pub fn relay() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/support/relay.rs");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (new, built) = (folder.path().join("relay"), env!("CARGO_TARGET_TMPDIR").to_owned());
        let mut rustc = Command::new("rustc");
        let compiled = rustc.args(["--edition", "2024", source, "-o"]).arg(&new).status();
        assert!(compiled.expect("rustc").success(), "the relay does not compile");
        // Another run may use the one that is there.
        let built = built + "/relay";
        fs::rename(new, &built).expect("it takes the place of an earlier one");
        built
    })
}

/// The stage that [`RIGHT`] passes.
pub const FIRST: &str = "01-first-proxy";

/// A workspace as `init` makes it, but without dependencies.
pub struct Lab {
    folder: TempDir,
}

impl Lab {
    /// Makes it, with a language that it remembers.
    pub fn new(language: &str) -> Self {
        let lab = Self { folder: tempfile::tempdir().expect("a folder") };
        let (code, _, stderr) = lab.run(["init", ".", "--lang", language]);
        assert_eq!(code, 0, "{stderr}");
        let manifest = lab.path("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("init has written it");
        let (before, after) = text.split_once("[dependencies]").expect("dependencies");
        let (_, after) = after.split_once("\n[").expect("another table");
        fs::write(&manifest, format!("{before}[{after}")).expect("it can be changed");
        fs::remove_file(lab.path("Cargo.lock")).expect("a lock of the dependencies");
        lab
    }

    /// A path in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a stage's file.
    pub fn save(&self, stage: &str, text: &str) {
        fs::write(self.path(&format!("stages/{stage}/main.rs")), text).expect("a stage's folder");
    }

    /// Passes a stage that [`RIGHT`] passes.
    pub fn pass(&self, stage: &str) {
        self.save(stage, RIGHT);
        let (code, stdout, stderr) = self.run(["check", stage]);
        assert_eq!(code, 0, "{stdout}{stderr}");
    }

    /// Runs `pingora-lab` in it, as if installed: exit code, stdout, stderr.
    pub fn run<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> (i32, String, String) {
        self.start(args).finish()
    }

    pub fn start<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        Program::start_with(args, |command| in_folder(command, self.folder.path()))
    }

    /// The JSON of a command, and its exit code.
    pub fn json<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> (i32, Value) {
        let (code, stdout, stderr) = self.run(args);
        let value = serde_json::from_str(&stdout);
        (code, value.unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}")))
    }
}

/// Runs a command in a folder, as if `pingora-lab` were installed.
pub fn in_folder(command: &mut Command, folder: &Path) {
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        // Cargo's own `cargo test` around this one is no checkout of the learner.
        if name.to_str().is_some_and(|name| name == "CARGO" || name.starts_with("LAB_")) {
            command.env_remove(name);
        }
    }
}
