//! The loop: inputs come in, the model changes, effects are carried out, and
//! what is to be seen is drawn.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::files::{Files, Noticed, Snapshot};
use super::input::{Effect, Input, Order};
use super::model::Model;
use super::panel::Surroundings;
use super::plain;
use super::terminal::Output;
use crate::course::lesson::Lesson;
use crate::course::note::note;
use crate::course::progress::{Progress, ProgressError};
use crate::course::trial::{Event, Source, Trial};
use crate::course::workspace::Workspace;
use crate::judge::stages;
use crate::language::Language;

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// On the whole terminal, with keys.
    Screen,
    /// As lines on stdout, without keys.
    Lines,
}

/// What is to be watched, and for whom.
#[derive(Debug)]
pub struct Watch {
    /// The workspace.
    pub workspace: Workspace,
    /// What was passed in it.
    pub progress: Progress,
    /// The stage to begin with.
    pub lesson: &'static Lesson,
    /// The language to begin with.
    pub language: Language,
    /// The program that stands between the judge and the program under test:
    /// `pingora-lab` itself.
    pub guard: PathBuf,
    /// Whether colours are wanted.
    pub color: bool,
    /// What stands before `stages/...` in a path, as it is best typed.
    pub prefix: String,
    /// How this program was called, for commands to try.
    pub invocation: &'static str,
}

/// Why the watch ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The terminal, or signals, gave an error.
    #[error("the terminal gave an error: {0}")]
    Terminal(#[from] io::Error),
    /// A trial ended in a way in which none may: a mistake of this program.
    #[error("a check broke off: {0}")]
    Broken(String),
}

impl Watch {
    /// Watches until the person ends it. Whatever was started is ended then.
    ///
    /// # Errors
    ///
    /// Where the terminal fails.
    pub async fn run(self, face: Face) -> Result<(), WatchError> {
        let around = Surroundings {
            prefix: self.prefix.clone(),
            invocation: self.invocation,
            color: self.color,
        };
        // Short enough to type, and as good as any other.
        let seed = || rand::random_range(0..1_000_000);
        let (model, effects) = Model::begin(self.lesson, &self.progress, self.language, seed);
        let (inputs, received) = mpsc::unbounded_channel();
        let output = match face {
            Face::Screen => Output::screen(inputs.clone())?,
            Face::Lines => Output::Lines,
        };
        let mut room = Room {
            watch: self,
            around,
            model,
            output,
            inputs,
            progressed: Arc::new(Notify::new()),
            files: None,
            trial: None,
        };
        let ended = room.go(effects, received).await;
        room.stop().await;
        match ended {
            // Nobody reads the lines any more.
            Err(WatchError::Terminal(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            ended => ended,
        }
    }
}

/// Everything that the loop holds.
struct Room {
    watch: Watch,
    around: Surroundings,
    model: Model,
    output: Output,
    inputs: mpsc::UnboundedSender<Input>,
    /// Progress was written; by whom is not known.
    progressed: Arc<Notify>,
    /// The watch over the stage of this id.
    files: Option<(&'static str, Files)>,
    trial: Option<JoinHandle<()>>,
}

/// Whether the loop goes on.
#[derive(PartialEq)]
enum Then {
    GoOn,
    End,
}

// === impl Room ===

impl Room {
    async fn go(
        &mut self,
        effects: Vec<Effect>,
        mut received: mpsc::UnboundedReceiver<Input>,
    ) -> Result<(), WatchError> {
        let mut signals = Signals::new()?;
        if self.carry_out(effects).await? == Then::End {
            return Ok(());
        }
        loop {
            self.output.draw(&mut self.model, &self.around)?;
            let input = tokio::select! {
                input = received.recv() => input,
                // What is in the file now is newer than all that was told of it.
                () = self.progressed.notified() => match self.watch.workspace.progress().read() {
                    Ok(progress) => Some(Input::Progress(progress)),
                    Err(_) => continue,
                },
                () = signals.next() => None,
                broken = broken(&mut self.trial) => return Err(WatchError::Broken(broken)),
            };
            let Some(input) = input else { return Ok(()) };
            if self.take(input).await? == Then::End {
                return Ok(());
            }
            // Everything that has come already is drawn at once.
            while let Ok(input) = received.try_recv() {
                if self.take(input).await? == Then::End {
                    return Ok(());
                }
            }
        }
    }

    async fn take(&mut self, input: Input) -> Result<Then, WatchError> {
        self.output.tell(|| plain::told(&self.model, &input, &self.around))?;
        let effects = self.model.on(input);
        self.carry_out(effects).await
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Then, WatchError> {
        for effect in effects {
            let language = self.model.language;
            let file = self.watch.workspace.progress();
            let kept = |kept: Result<Progress, ProgressError>| {
                kept.err().map(|error| error.explain(language))
            };
            let said = match effect {
                Effect::Quit => return Ok(Then::End),
                Effect::Judge(order) => {
                    self.begin(order).await?;
                    None
                }
                Effect::Note(report) => {
                    let noted = note(&self.watch.workspace, &report);
                    noted.err().map(|error| error.explain(language))
                }
                Effect::Hints(stage, seen) => kept(file.update(|progress| {
                    progress.hints.insert(stage.to_owned(), seen);
                })),
                Effect::Language(language) => {
                    kept(file.update(|progress| progress.set_language(language)))
                }
                Effect::Carry(from, to) => Some(self.carry(from, to)),
                Effect::Current(stage) => {
                    kept(file.update(|progress| progress.current = Some(stage.to_owned())))
                }
            };
            if let Some(text) = said {
                let _ = self.inputs.send(Input::Notice(text));
            }
        }
        Ok(Then::GoOn)
    }

    /// Carries the learner's program on; what came of it.
    fn carry(&self, from: &Lesson, to: &Lesson) -> String {
        let (workspace, language) = (&self.watch.workspace, self.model.language);
        let shown = |path: &Path| {
            let path = path.strip_prefix(workspace.root()).unwrap_or(path);
            format!("{}{}", self.watch.prefix, path.display())
        };
        match workspace.carry(from, to) {
            Ok(carried) => {
                let between = if language == Language::En { " " } else { "" };
                carried.told(from, to, language, shown).join(between)
            }
            Err(error) => error.explain(language),
        }
    }

    /// Ends the trial that runs, and begins another.
    async fn begin(&mut self, order: Order) -> io::Result<()> {
        self.stop().await;
        let id = order.lesson.id();
        if self.files.as_ref().is_none_or(|(watched, _)| *watched != id) {
            self.output.tell(|| plain::watching(&self.model, &self.around))?;
            let (inputs, progressed) = (self.inputs.clone(), self.progressed.clone());
            let tell = move |noticed| match noticed {
                Noticed::Saved => inputs.send(Input::Saved).is_ok(),
                Noticed::Progress => {
                    progressed.notify_one();
                    true
                }
            };
            self.files = Some((id, Files::watch(&self.watch.workspace, order.lesson, tell)));
        }
        let Some(stage) = stages::stage(id) else {
            let why = match self.model.language {
                Language::En => format!("This version has no checks for {id} yet."),
                Language::Zh => format!("这个版本还没有 {id} 的检查。"),
            };
            let _ = self.inputs.send(Input::Untried(order.generation, why));
            return Ok(());
        };
        let workspace = self.watch.workspace.clone();
        let trial = Trial {
            lesson: order.lesson,
            stage,
            seed: order.seed,
            source: Source::Workspace { workspace: workspace.clone(), color: self.watch.color },
            guard: self.watch.guard.clone(),
        };
        let inputs = self.inputs.clone();
        self.trial = Some(tokio::spawn(attempt(trial, workspace, order.generation, inputs)));
        Ok(())
    }

    /// Ends the trial that runs, and waits until it is dropped.
    async fn stop(&mut self) {
        if let Some(trial) = self.trial.take() {
            trial.abort();
            let _ = trial.await;
        }
    }
}

/// Runs a trial; what happens goes to the loop with its number. It ends without a
/// report when it has something to say of code that was saved meanwhile: word of
/// that save is on its way, and with it the next trial.
async fn attempt(
    trial: Trial,
    workspace: Workspace,
    generation: u64,
    inputs: mpsc::UnboundedSender<Input>,
) {
    let begun = Snapshot::of(&workspace, trial.lesson);
    let stale = || Snapshot::of(&workspace, trial.lesson) != begun;
    let (events, mut happening) = mpsc::unbounded_channel();
    let running = trial.run(&events);
    tokio::pin!(running);
    let report = loop {
        tokio::select! {
            biased;
            Some(event) = happening.recv() => {
                if says_something(&event) && stale() {
                    return;
                }
                let _ = inputs.send(Input::Trial(generation, event));
            }
            report = &mut running => break report,
        }
    };
    if stale() {
        return;
    }
    // The last of it may have come with the report.
    while let Ok(event) = happening.try_recv() {
        let _ = inputs.send(Input::Trial(generation, event));
    }
    let _ = inputs.send(Input::Done(generation, Box::new(report)));
}

/// Whether an event is about the learner's code.
fn says_something(event: &Event) -> bool {
    use crate::course::build::Event as Build;
    matches!(
        event,
        Event::Build(Build::Diagnostic(_)) | Event::Judge(crate::judge::Progress::Decided(_))
    )
}

/// The panic of a trial; nothing else is an answer.
async fn broken(trial: &mut Option<JoinHandle<()>>) -> String {
    if let Some(running) = trial {
        let ended = running.await;
        *trial = None;
        if let Err(error) = ended
            && error.is_panic()
        {
            return error.to_string();
        }
    }
    std::future::pending().await
}

/// The signals that end the watch.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
