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
    /// It was built with others ([`build_all`]).
    Built {
        /// It, or why there is none and what the compiler says about it.
        program: Result<PathBuf, (Failure, Vec<Diagnostic>)>,
        /// The folder that it is run in.
        cwd: PathBuf,
        /// How long the build of all took.
        took: Duration,
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
    /// How long the build took; of programs that were built together, that of all.
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
                return self.report(self.build_of(begun), Outcome::NotBuilt(failure, said));
            }
        };
        let build = self.build_of(begun);
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
            Source::Workspace { .. } | Source::Built { .. } => None,
        };
        Report { lesson: self.lesson, seed: self.seed, command, build, result }
    }

    fn build_of(&self, begun: Instant) -> Duration {
        match &self.source {
            Source::Built { took, .. } => *took,
            _ => begun.elapsed(),
        }
    }

    async fn subject(
        &self,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<Subject, (Failure, Vec<Diagnostic>)> {
        let source = match &self.source {
            Source::Workspace { workspace, color } => {
                let built = build_all(workspace, &[self.lesson], *color, events).await;
                built.into_iter().next().unwrap_or_else(|| self.source.clone())
            }
            source => source.clone(),
        };
        let (command, cwd) = match source {
            Source::Command(command, cwd) => (command, cwd),
            Source::Built { program, cwd, .. } => {
                (Command::Program(vec![program?.to_string_lossy().into_owned()]), cwd)
            }
            Source::Workspace { .. } => return Err((silent(), Vec::new())),
        };
        Ok(Subject { guard: self.guard.clone(), command, cwd })
    }
}

/// Builds the programs of several stages by one cargo, which leaves alone what has
/// not changed. Where each comes from, in the order of the stages; one that does
/// not compile holds up none of the others.
pub async fn build_all(
    workspace: &Workspace,
    lessons: &[&'static Lesson],
    color: bool,
    events: &mpsc::UnboundedSender<Event>,
) -> Vec<Source> {
    let begun = Instant::now();
    let stages: Vec<_> = lessons.iter().map(|lesson| lesson.id()).collect();
    let request = build::Request { workspace: workspace.root(), stages: &stages, color };
    let mut build = Build::start(request);
    let (mut ends, mut said) = (Vec::new(), Vec::new());
    while let Some(event) = build.next().await {
        let _ = events.send(Event::Build(event.clone()));
        match event {
            build::Event::Diagnostic(diagnostic) => said.push(diagnostic),
            build::Event::Built { program, .. } => ends.push(Ok(program)),
            build::Event::Failed(failure) => ends.push(Err(failure)),
            _ => {}
        }
    }
    let took = begun.elapsed();
    // Each stage has its end; a missing one is a fault of ours.
    let ends = ends.into_iter().chain(std::iter::repeat_with(|| Err(silent())));
    let of_stage = |stage: &str| -> Vec<Diagnostic> {
        let others = |target: &str| target != stage && stages.contains(&target);
        said.iter().filter(|diagnostic| !others(&diagnostic.target)).cloned().collect()
    };
    let source = |(stage, end): (&&str, Result<PathBuf, Failure>)| Source::Built {
        program: end.map_err(|failure| (failure, of_stage(stage))),
        cwd: workspace.root().to_owned(),
        took,
    };
    stages.iter().zip(ends).map(source).collect()
}

fn silent() -> Failure {
    Failure { trouble: Trouble::Other, detail: "cargo said nothing".to_owned() }
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

#[cfg(test)]
#[path = "trial_sample.rs"]
pub(crate) mod sample;
