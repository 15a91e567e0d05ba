//! One stage built and judged: what `check` does once and `learn` after every
//! save.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::build::{self, Build, Diagnostic, Failure, Trouble};
use super::lesson::Lesson;
use super::workspace::Workspace;
use crate::judge::{self, Command, Stage, State, Subject, Verdict, judge};

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The stage, as the lessons have it.
    pub lesson: &'static Lesson,
    /// The stage, as the judge has it.
    pub stage: &'static Stage,
    /// What everything that the checks make up is drawn from.
    pub seed: u64,
    /// Where the program comes from.
    pub source: Source,
    /// The program that stands between the judge and the program under test:
    /// `pingora-lab` itself.
    pub guard: PathBuf,
}

/// Where a program under test comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is built in a workspace.
    Workspace {
        /// The workspace.
        workspace: Workspace,
        /// Whether the compiler's words are to be in colours.
        color: bool,
    },
    /// It is a command, run in this folder.
    Command(Command, PathBuf),
}

/// What happens during a trial.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something of the build.
    Build(build::Event),
    /// Something of the judging.
    Judge(judge::Progress),
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Report {
    /// The stage.
    pub lesson: &'static Lesson,
    /// What everything was drawn from.
    pub seed: u64,
    /// The command that was judged, as one types it; none for a program that was
    /// built in a workspace.
    pub command: Option<String>,
    /// How long the build took.
    pub build: Duration,
    /// What came of it.
    pub result: Outcome,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// There is no program, and why, with what the compiler says about it.
    NotBuilt(Failure, Vec<Diagnostic>),
    /// It was judged.
    Judged(Verdict),
}

// === impl Trial ===

impl Trial {
    /// Builds and judges. Who no longer wants the report drops the future: cargo,
    /// the program and all that they have started are then ended.
    pub async fn run(&self, events: &mpsc::UnboundedSender<Event>) -> Report {
        let begun = Instant::now();
        let subject = match self.subject(events).await {
            Ok(subject) => subject,
            Err((failure, said)) => {
                return self.report(begun.elapsed(), Outcome::NotBuilt(failure, said));
            }
        };
        let build = begun.elapsed();
        let (progress, mut received) = mpsc::unbounded_channel();
        let judging = judge(self.stage, &subject, self.seed, &progress);
        tokio::pin!(judging);
        let verdict = loop {
            tokio::select! {
                biased;
                Some(step) = received.recv() => drop(events.send(Event::Judge(step))),
                verdict = &mut judging => break verdict,
            }
        };
        // The last steps may have come with the verdict.
        while let Ok(step) = received.try_recv() {
            let _ = events.send(Event::Judge(step));
        }
        self.report(build, Outcome::Judged(verdict))
    }

    fn report(&self, build: Duration, result: Outcome) -> Report {
        let command = match &self.source {
            Source::Command(Command::Line(line), _) => Some(line.to_string()),
            Source::Command(Command::Program(words), _) => Some(shell_words::join(words)),
            Source::Workspace { .. } => None,
        };
        Report { lesson: self.lesson, seed: self.seed, command, build, result }
    }

    async fn subject(
        &self,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<Subject, (Failure, Vec<Diagnostic>)> {
        let (workspace, color) = match &self.source {
            Source::Workspace { workspace, color } => (workspace, *color),
            Source::Command(command, cwd) => {
                let (command, cwd) = (command.clone(), cwd.clone());
                return Ok(Subject { guard: self.guard.clone(), command, cwd });
            }
        };
        let request =
            build::Request { workspace: workspace.root(), stage: self.lesson.id(), color };
        let mut build = Build::start(request);
        let mut said = Vec::new();
        while let Some(event) = build.next().await {
            let _ = events.send(Event::Build(event.clone()));
            match event {
                build::Event::Diagnostic(diagnostic) => said.push(diagnostic),
                build::Event::Built { program, .. } => {
                    let command = Command::Program(vec![program.to_string_lossy().into_owned()]);
                    let cwd = workspace.root().to_owned();
                    return Ok(Subject { guard: self.guard.clone(), command, cwd });
                }
                build::Event::Failed(failure) => return Err((failure, said)),
                _ => {}
            }
        }
        // The last event is one of the two ends; none is a fault of ours.
        let failure = Failure { trouble: Trouble::Other, detail: "cargo said nothing".to_owned() };
        Err((failure, said))
    }
}

// === impl Report ===

impl Report {
    /// What is said of the program. Code that does not compile has failed; a build
    /// that could not be made (no network, a full disk) says nothing about it.
    pub fn state(&self) -> State {
        match &self.result {
            Outcome::Judged(verdict) => verdict.state(),
            Outcome::NotBuilt(failure, _) => match failure.trouble {
                Trouble::Errors(_) | Trouble::Manifest => State::Fail,
                _ => State::Inconclusive,
            },
        }
    }

    /// The verdict, if there was a program to judge.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.result {
            Outcome::Judged(verdict) => Some(verdict),
            Outcome::NotBuilt(..) => None,
        }
    }

    /// The checks that were passed.
    pub fn passed(&self) -> Vec<&'static str> {
        let checks = self.verdict().into_iter().flat_map(|verdict| &verdict.checks);
        checks.filter(|check| check.state() == State::Pass).map(|check| check.id).collect()
    }
}
