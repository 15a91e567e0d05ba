//! The cargo process: how it is started, read and ended.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::Part;

/// A cargo that runs, in a process group of its own. Dropping it kills the
/// group; what it left in temporary files goes with it.
#[derive(Debug)]
pub(super) struct Cargo {
    group: Group,
}

/// The group, until its leader may be reaped: its number may be another's then.
type Group = Arc<Mutex<Option<Pid>>>;

impl Drop for Cargo {
    fn drop(&mut self) {
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = group.take() {
            // Gone already is as good.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Starts the build of the stages' binaries.
pub(super) fn start(part: &Part) -> io::Result<(Cargo, Lines)> {
    // A linker that is killed leaves its scratch files; here they are found.
    let scratch = tempfile::Builder::new().prefix("pingora-lab-build-").tempdir()?;
    let mut command = Command::new("cargo");
    command
        .args(arguments(part))
        .current_dir(&part.workspace)
        // Progress even where there is no terminal, and wide enough to hold the
        // count and some names; no colours in what is parsed.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_QUIET", "false")
        .env("CARGO_TERM_VERBOSE", "false")
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| is_of_an_outer_cargo(name, value.to_str())) {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let group = Arc::new(Mutex::new(pid));
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("cargo has no output"));
    };
    let lines = Lines {
        child,
        group: group.clone(),
        out: Source::new(out),
        err: Source::new(err),
        _scratch: scratch,
    };
    Ok((Cargo { group }, lines))
}

/// What cargo is told.
fn arguments(part: &Part) -> Vec<&str> {
    let mut arguments = vec!["build"];
    arguments.extend(part.profile.argument());
    arguments.extend(part.stages.iter().flat_map(|stage| ["--bin", stage]));
    if part.stages.len() > 1 {
        // One that does not compile is no reason to leave out the others.
        arguments.push("--keep-going");
    }
    let format = if part.color { "json-diagnostic-rendered-ansi" } else { "json" };
    arguments.extend(["--message-format", format]);
    arguments
}

/// Whether a variable is one that `cargo run` or `cargo test` sets for this
/// process, which says nothing about the learner's workspace. What a person may
/// have set (`CARGO_HOME`, `CARGO_TARGET_DIR`, `RUSTFLAGS`, ..) stays: with it
/// their own cargo builds to the same end.
fn is_of_an_outer_cargo(name: &str, value: Option<&str>) -> bool {
    const PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_"];
    const NAMES: [&str; 5] =
        ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    // The checkout's script; the workspace has one of its own.
    let cmake = name == "CMAKE" && value.is_some_and(|path| path.ends_with(".cargo/cmake"));
    cmake || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// One line of cargo's output.
pub(super) enum Line {
    /// Of standard output: a message in JSON.
    Out(String),
    /// Of standard error: what a person would read.
    Err(String),
}

/// What cargo prints, until it ends.
pub(super) struct Lines {
    child: Child,
    group: Group,
    out: Source<ChildStdout>,
    err: Source<ChildStderr>,
    /// Removed when cargo is gone.
    _scratch: TempDir,
}

impl Lines {
    /// The next line of either output; none when both have ended.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.out.line(b"\n") {
                return Some(Line::Out(line));
            }
            // Progress is drawn over itself.
            if let Some(line) = self.err.line(b"\n\r") {
                return Some(Line::Err(line));
            }
            tokio::select! {
                () = self.out.fill(), if !self.out.ended => {}
                () = self.err.fill(), if !self.err.ended => {}
                else => return None,
            }
        }
    }

    /// How cargo ended. To be called after the last line: all that wrote to its
    /// outputs have ended or are about to.
    pub(super) async fn end(mut self) -> io::Result<ExitStatus> {
        // From here on its number may be given to another process.
        self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.child.wait().await
    }
}

/// One of the outputs, cut into lines.
struct Source<R> {
    reader: R,
    bytes: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(reader: R) -> Self {
        Self { reader, bytes: Vec::new(), ended: false }
    }

    /// Reads what has come. Safe to cancel.
    async fn fill(&mut self) {
        let read = self.reader.read_buf(&mut self.bytes).await;
        self.ended = matches!(read, Ok(0) | Err(_));
    }

    /// The next line that is complete; the rest, where nothing more comes.
    fn line(&mut self, ends: &[u8]) -> Option<String> {
        let end = match self.bytes.iter().position(|byte| ends.contains(byte)) {
            Some(end) => end + 1,
            None if self.ended && !self.bytes.is_empty() => self.bytes.len(),
            None => return None,
        };
        let line: Vec<_> = self.bytes.drain(..end).collect();
        let line = String::from_utf8_lossy(&line);
        Some(line.trim_end_matches(['\n', '\r']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    #[test]
    fn one_cargo_builds_all_stages_of_a_profile() {
        let mut part = Part {
            workspace: "/".into(),
            stages: vec!["01-a".to_owned()],
            profile: Profile::Release,
            color: false,
        };
        let one = ["build", "--release", "--bin", "01-a", "--message-format", "json"];
        assert_eq!(arguments(&part), one);
        part.profile = Profile::Dev;
        part.stages.push("02-b".to_owned());
        assert_eq!(
            arguments(&part)[..6],
            ["build", "--bin", "01-a", "--bin", "02-b", "--keep-going"]
        );
    }

    #[test]
    fn what_an_outer_cargo_set_goes_and_what_a_person_set_stays() {
        for name in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_BIN_EXE_x"] {
            assert!(is_of_an_outer_cargo(name, Some("x")), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "RUSTFLAGS", "PATH"] {
            assert!(!is_of_an_outer_cargo(name, Some("x")), "{name}");
        }
        assert!(is_of_an_outer_cargo("CMAKE", Some("/checkout/.cargo/cmake")));
        assert!(!is_of_an_outer_cargo("CMAKE", Some("/usr/bin/cmake3")));
    }
}
