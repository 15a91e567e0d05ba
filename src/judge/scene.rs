//! What one check has to work with: its own randomness, its own backends, its
//! own running program, and words for what it found.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::certificates::Certificates;
use super::client::Request;
use super::common;
use super::diagnosis::{Diagnosis, Finding};
use super::draw::Draw;
use super::ports;
use super::program::{CommandLine, Guarded, Launch, StartFailure, wait_until_listening};
use super::running::Running;
use crate::backends::recording::{Recorder, RecordingBackend};

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(10);

/// How much memory each process of the program may have, in bytes.
const MEMORY: u64 = 1 << 30;

/// How often a port that was taken meanwhile is given up for another.
const PORT_TRIES: usize = 3;

/// What is judged: how to run it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The program that stands between the judge and the subject: this one.
    pub guard: PathBuf,
    /// The command.
    pub command: Command,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// A command to judge.
#[derive(Clone, Debug)]
pub enum Command {
    /// A program and its arguments, run as it is.
    Program(Vec<String>),
    /// What a person wrote after `--cmd`, with placeholders for the addresses.
    Line(CommandLine),
}

/// What one check has to work with.
#[derive(Debug)]
pub struct Scene {
    stage: &'static str,
    subject: Subject,
    /// Names, paths, payloads, orders: drawn from the seed.
    pub draw: Draw,
    /// Everything that the backends of this check see.
    pub recorder: Recorder,
    plan: Mutex<Vec<String>>,
    programs: Mutex<Vec<Arc<Guarded>>>,
}

// === impl Scene ===

impl Scene {
    /// The scene of one check.
    pub fn new(stage: &'static str, check: &str, subject: Subject, seed: u64) -> Self {
        Self {
            stage,
            subject,
            draw: Draw::new(seed, stage, check),
            recorder: Recorder::new(),
            plan: Mutex::default(),
            programs: Mutex::default(),
        }
    }

    /// Recording backends, named `backend 1` and so on.
    ///
    /// # Errors
    ///
    /// The machine has no port for one, which is inconclusive.
    pub fn backends(&self, count: usize) -> Result<Vec<RecordingBackend>, Finding> {
        self.backends_named("backend", count)
    }

    /// The same, named with this word and a number.
    ///
    /// # Errors
    ///
    /// As [`Scene::backends`].
    pub fn backends_named(
        &self,
        word: &str,
        count: usize,
    ) -> Result<Vec<RecordingBackend>, Finding> {
        (1..=count)
            .map(|number| RecordingBackend::start(&self.recorder, format!("{word} {number}")))
            .collect::<Result<_, _>>()
            .map_err(|error| common::our_error("a backend could not be opened", &error))
    }

    /// Certificates for these names, to be told to the program by their
    /// [`Certificates::settings`].
    ///
    /// # Errors
    ///
    /// They can't be made here, which is inconclusive.
    pub fn certificates(&self, names: &[&str]) -> Result<Certificates, Finding> {
        Certificates::issue(names)
            .map_err(|error| common::our_error("no certificates could be made", &error))
    }

    /// Starts the program in front of these backends, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(&self, backends: &[RecordingBackend]) -> Result<Running<'_>, Finding> {
        self.start_with(backends, &[]).await
    }

    /// The same with further settings in its environment.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start_with(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
    ) -> Result<Running<'_>, Finding> {
        let mut tries = 1;
        loop {
            let started = self.try_start(backends, settings).await;
            match started {
                // Somebody else was quicker at this port: take another.
                Err(finding)
                    if finding.diagnosis().id == common::PORT_TAKEN && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                started => return started,
            }
        }
    }

    async fn try_start(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
    ) -> Result<Running<'_>, Finding> {
        let listen = ports::free().map_err(|error| common::our_error("no free port", &error))?;
        let addresses: Vec<_> = backends.iter().map(RecordingBackend::address).collect();
        let order = self.launch(listen, &addresses, settings)?.order(MEMORY);
        let failed = |failure: StartFailure| common::start_failure(failure, listen);
        let program = Guarded::start(&self.subject.guard, &order).await;
        let program = Arc::new(program.map_err(|error| failed(error.into()))?);
        self.programs.lock().push(Arc::clone(&program));
        wait_until_listening(&program, listen, START).await.map_err(failed)?;
        Ok(Running::new(self, program, listen))
    }

    fn launch(
        &self,
        listen: SocketAddr,
        backends: &[SocketAddr],
        settings: &[(&str, &str)],
    ) -> Result<Launch, Finding> {
        let command = match &self.subject.command {
            Command::Program(words) => words.clone(),
            Command::Line(line) => line.fill(listen, backends).map_err(|error| {
                Diagnosis::new("command-does-not-fit")
                    .with("reason", error.to_string())
                    .inconclusive()
            })?,
        };
        let list = backends.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let contract = [("LAB_LISTEN", listen.to_string()), ("LAB_BACKENDS", list)];
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let env = contract.into_iter().chain(settings);
        let env = env.map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Launch { command, env, cwd: self.subject.cwd.clone() })
    }

    /// Notes what the check plans to do, in words that are the same for the same
    /// seed: no ports, no times.
    pub fn plan(&self, words: impl Into<String>) {
        self.plan.lock().push(words.into());
    }

    /// What was planned.
    pub fn planned(&self) -> Vec<String> {
        self.plan.lock().clone()
    }

    /// The judge itself failed: nothing is said about the program.
    pub fn our_error(&self, what: &str, error: &dyn std::fmt::Display) -> Finding {
        common::our_error(what, error)
    }

    /// Commands that send this request by hand: the program in one terminal, the
    /// client in another.
    pub fn by_hand(&self, request: &Request) -> Vec<String> {
        common::by_hand(self.stage, request)
    }

    /// Ends every program that was started, and waits until nothing of it is left.
    pub async fn end(&self) {
        let programs = std::mem::take(&mut *self.programs.lock());
        // Whoever was given the program is done with it, or was dropped.
        for program in programs.into_iter().filter_map(Arc::into_inner) {
            program.end().await;
        }
    }
}
