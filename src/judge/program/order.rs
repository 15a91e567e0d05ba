//! What the judge and the guard say to each other: one JSON value a line.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first line to the guard: what to run, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The program and its arguments. A program without a slash is looked up
    /// in the `PATH` of `env`.
    pub command: Vec<String>,
    /// The whole environment of the program; the guard adds nothing.
    pub env: Vec<(String, String)>,
    /// The program's working directory.
    pub cwd: PathBuf,
    /// How much private writable memory each process of the program may have,
    /// in bytes (`RLIMIT_DATA`; not enforced outside Linux).
    pub memory_bytes: u64,
    /// A folder for the judge's files that the guard removes if the judge goes without a
    /// word, as it does when it is killed.
    pub scratch: Option<PathBuf>,
}

/// The later lines to the guard. The end of the stream means [`Word::End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// SIGINT to the program's process group.
    Interrupt,
    /// SIGTERM to the program's own process.
    Terminate,
    /// SIGQUIT to the program's own process.
    Quit,
    /// End the program and every process that it has started.
    End,
}

/// The lines from the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program runs, as this process and process group.
    Started(i32),
    /// The program could not be run, and why; the guard has ended.
    NotStarted(String),
    /// The program's own process has ended. Others that it has started may
    /// still run.
    Exited(ExitKind),
    /// There were this many processes, more than the guard allows; it ends
    /// them all.
    TooManyProcesses(usize),
    /// No process of the program is left; the guard has ended.
    Ended,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// By itself, with this exit code.
    Code(i32),
    /// By the signal of this number.
    Signal(i32),
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
