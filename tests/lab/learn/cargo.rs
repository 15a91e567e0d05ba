//! A workspace, and a cargo that builds in it what a test wants.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::judge::run::Mark;
use crate::support::lab::{Lab, in_folder, relay};

/// The stage that a learner begins with.
pub const FIRST: &str = "01-first-proxy";

/// What stands for cargo. The first word of the stage's file, or of its module
/// `pool` if it has one, says what is built:
///
/// | word | |
/// | --- | --- |
/// | `right` | a program that forwards |
/// | `wrong` | one that ends at once |
/// | `late` | one that ends when the test lets it |
/// | `error` | an error, and the end when the test lets it |
/// | `first` | the dependencies, until the test lets it; then as `right` |
const CARGO: &str = r#"#!/bin/sh
stage=$3
file=stages/$stage/pool/mod.rs
[ -e "$file" ] || file=stages/$stage/main.rs
read -r word _ < "$file"
fact() { printf '%s\n' "$1"; }
built() {
    fact '{"reason":"compiler-artifact","target":{"name":"'"$stage"'"},"executable":"BIN/'"$1"'","fresh":false}'
}
case $word in
error)
    fact '{"reason":"compiler-message","message":{"level":"error","message":"cannot find value `backend`","rendered":"error[E0425]: cannot find value `backend`\n --> stages/main.rs:3:5\n","code":null,"spans":[{"file_name":"stages/main.rs","line_start":3,"column_start":5,"is_primary":true}]}}'
    read -r _ < BIN/gate
    exit 101 ;;
first)
    printf '    Building [=====>          ] 45/238: bytes, http\r' >&2
    read -r _ < BIN/gate
    built right ;;
*)
    built "$word" ;;
esac
"#;

const WRONG: &str = "#!/bin/sh\necho a wrong setting >&2\nexit 3\n";

const LATE: &str = "#!/bin/sh\necho >BIN/running\nread -r _ < BIN/gate\nexit 3\n";

/// Somebody with a workspace.
pub struct Learner {
    pub lab: Lab,
    bin: TempDir,
    /// Both its ends, so that nobody waits for the other.
    gate: File,
    pub mark: Mark,
}

// === impl Learner ===

impl Learner {
    /// With a workspace in this language, whose first stage begins so.
    pub fn new(language: &str, word: &str) -> Self {
        let bin = tempfile::tempdir().expect("a folder");
        let folder = bin.path().to_str().expect("a path");
        for (name, text) in [("cargo", CARGO), ("wrong", WRONG), ("late", LATE)] {
            let path = bin.path().join(name);
            let text = text.replace("BIN", folder);
            fs::write(&path, text).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may be run");
        }
        symlink(relay(), bin.path().join("right")).expect("a program that forwards");
        let made = Command::new("mkfifo").arg(bin.path().join("gate")).status();
        assert!(made.is_ok_and(|status| status.success()), "a gate");
        let gate = File::options().read(true).write(true).open(bin.path().join("gate"));
        let gate = gate.expect("a gate that opens");
        let learner = Self { lab: Lab::new(language), bin, gate, mark: Mark::new() };
        learner.save(word);
        learner
    }

    /// Saves the first stage's file.
    pub fn save(&self, word: &str) {
        fs::write(self.file(), format!("{word}\n")).expect("the stage's folder");
    }

    /// The first stage's file.
    pub fn file(&self) -> PathBuf {
        self.lab.path(&format!("stages/{FIRST}/main.rs"))
    }

    /// The file that a late program writes once it runs.
    pub fn running(&self) -> PathBuf {
        self.bin.path().join("running")
    }

    /// Lets go on what waits at the gate.
    pub fn open_gate(&self) {
        (&self.gate).write_all(b"\n").expect("room for a line");
    }

    /// A command in the workspace, with the script for cargo; all that it starts
    /// has the mark.
    pub fn place(&self, command: &mut Command) {
        in_folder(command, &self.lab.path("."));
        let path = std::env::var("PATH").expect("a path");
        let bin = self.bin.path().display();
        command
            .env("PATH", format!("{bin}:{path}"))
            .env("LAB_MARK_OF_TEST", self.mark.text())
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR");
    }
}
