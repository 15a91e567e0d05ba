//! Stages of a workspace, built by one cargo, with what happens told as it
//! happens.

mod failure;
mod output;
mod process;
mod profile;

pub use failure::{Failure, Trouble};
pub use output::{Diagnostic, Level, Place};

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use output::Messages;
use process::{Cargo, Line};
use profile::Profile;

/// What is to be built.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The workspace's folder.
    pub workspace: &'a Path,
    /// The stages' ids, which are their binaries' names.
    pub stages: &'a [&'a str],
    /// Whether diagnostics are rendered with colours.
    pub color: bool,
}

/// What happens during a build, in the order in which it happens. At the end
/// there is a [`Event::Built`] or [`Event::Failed`] for each stage, in the order
/// of the request; one that fails holds up none of the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Crates are downloaded: the first build, or a dependency added.
    Downloading,
    /// Another cargo holds this workspace's build, or the crates' downloads;
    /// this one goes on when that is done. Often for an instant only.
    Waiting,
    /// So much is compiled of all that this build needs, by cargo's own count;
    /// what an earlier build left counts as compiled.
    Compiling {
        /// What is compiled at this moment, one or more crates.
        names: String,
        /// Steps done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// What the compiler says about the learner's code, as soon as it does.
    Diagnostic(Diagnostic),
    /// The end of a stage: its program is there.
    Built {
        /// The program.
        program: PathBuf,
        /// Whether it was there already, unchanged.
        fresh: bool,
    },
    /// The end of a stage: it has no program.
    Failed(Failure),
}

/// A build that runs. Dropping it ends it, cargo and compilers and all.
#[derive(Debug)]
pub struct Build {
    running: Running,
    /// What is built by further cargos, one after the other.
    later: VecDeque<Part>,
}

/// Stages that one cargo builds.
#[derive(Debug)]
struct Part {
    workspace: PathBuf,
    stages: Vec<String>,
    profile: Profile,
    color: bool,
}

/// A cargo that runs.
#[derive(Debug)]
struct Running {
    cargo: Option<Cargo>,
    events: mpsc::UnboundedReceiver<Event>,
    driver: tokio::task::JoinHandle<()>,
}

// === impl Build ===

impl Build {
    /// Starts cargo. What goes wrong is an event, too: [`Event::Failed`]. Stages that are
    /// built in another profile than those before them have a cargo of their own.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start(request: Request<'_>) -> Self {
        Self::in_profiles(request, Profile::of)
    }

    fn in_profiles(request: Request<'_>, profile: impl Fn(&str) -> Profile) -> Self {
        let parts = request.stages.chunk_by(|one, next| profile(one) == profile(next));
        let part = |stages: &[&str]| Part {
            workspace: request.workspace.to_owned(),
            stages: stages.iter().map(|&stage| stage.to_owned()).collect(),
            profile: stages.first().map_or(Profile::Dev, |stage| profile(stage)),
            color: request.color,
        };
        let mut later: VecDeque<_> = parts.map(part).collect();
        let first = later.pop_front().unwrap_or_else(|| part(&[]));
        Self { running: Running::start(&first), later }
    }

    /// The next event; none after the end. Safe to cancel: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.running.events.recv().await {
                return Some(event);
            }
            self.running = Running::start(&self.later.pop_front()?);
        }
    }

    /// Ends cargo and what it started, and returns once they are gone. What is
    /// compiled so far is kept for the next build.
    pub async fn cancel(mut self) {
        drop(self.running.cargo.take());
        // It ends when the last of them has closed its output.
        let _ = (&mut self.running.driver).await;
    }
}

// === impl Running ===

impl Running {
    fn start(part: &Part) -> Self {
        let (send, events) = mpsc::unbounded_channel();
        let (cargo, driver) = match process::start(part) {
            Ok((cargo, lines)) => {
                let messages = Messages::new(part.stages.clone());
                (Some(cargo), tokio::spawn(drive(messages, lines, send)))
            }
            Err(error) => {
                for _ in &part.stages {
                    let _ = send.send(Event::Failed(Failure::of_start(&error)));
                }
                (None, tokio::spawn(async {}))
            }
        };
        Self { cargo, events, driver }
    }
}

/// Turns what cargo prints into events, up to the last.
async fn drive(
    mut messages: Messages,
    mut lines: process::Lines,
    send: mpsc::UnboundedSender<Event>,
) {
    while let Some(line) = lines.next().await {
        let event = match line {
            Line::Out(line) => messages.message(&line),
            Line::Err(line) => messages.status(&line),
        };
        if let Some(event) = event {
            let _ = send.send(event);
        }
    }
    let status = lines.end().await;
    for end in messages.end(status) {
        let _ = send.send(end);
    }
}

#[cfg(test)]
mod tests;
