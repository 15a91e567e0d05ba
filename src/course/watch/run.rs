//! The loop: inputs come in, the model changes, effects are carried out, and
//! what is to be seen is drawn.

use std::io::{self, Write};
use std::path::PathBuf;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::files::Files;
use super::keys;
use super::model::{Effect, Input, Model, Order};
use super::panel::Surroundings;
use super::{plain, screen};
use crate::course::lesson::Lesson;
use crate::course::note::note;
use crate::course::progress::{Progress, ProgressError};
use crate::course::trial::{Source, Trial};
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
        let mut room =
            Room { watch: self, around, model, output, inputs, files: None, trial: None };
        let ended = room.go(effects, received).await;
        room.stop().await;
        ended
    }
}

/// Everything that the loop holds.
struct Room {
    watch: Watch,
    around: Surroundings,
    model: Model,
    output: Output,
    inputs: mpsc::UnboundedSender<Input>,
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
            if self.output.draw(&mut self.model, &self.around)? == Then::End {
                return Ok(());
            }
            let input = tokio::select! {
                input = received.recv() => input,
                () = signals.next() => return Ok(()),
                broken = broken(&mut self.trial) => {
                    return Err(WatchError::Broken(broken));
                }
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
        if self.output.tell(|| plain::told(&self.model, &input, &self.around)) == Then::End {
            return Ok(Then::End);
        }
        let effects = self.model.on(input);
        self.carry_out(effects).await
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Then, WatchError> {
        for effect in effects {
            let language = self.model.language;
            let file = self.watch.workspace.progress();
            let kept = |kept: Result<Progress, ProgressError>| {
                kept.map(drop).map_err(|error| error.explain(language))
            };
            let done = match effect {
                Effect::Quit => return Ok(Then::End),
                Effect::Judge(order) => {
                    if self.begin(order).await == Then::End {
                        return Ok(Then::End);
                    }
                    Ok(())
                }
                Effect::Note(report) => {
                    note(&self.watch.workspace, &report).map_err(|error| error.explain(language))
                }
                Effect::Hints(stage, seen) => kept(file.update(|progress| {
                    progress.hints.insert(stage.to_owned(), seen);
                })),
                Effect::Language(language) => {
                    kept(file.update(|progress| progress.set_language(language)))
                }
                Effect::Current(stage) => {
                    kept(file.update(|progress| progress.current = Some(stage.to_owned())))
                }
            };
            if let Err(text) = done {
                let _ = self.inputs.send(Input::Notice(text));
            }
        }
        Ok(Then::GoOn)
    }

    /// Ends the trial that runs, and begins another.
    async fn begin(&mut self, order: Order) -> Then {
        self.stop().await;
        let id = order.lesson.id();
        if self.files.as_ref().is_none_or(|(watched, _)| *watched != id) {
            let told = self.output.tell(|| plain::watching(&self.model, &self.around));
            if told == Then::End {
                return Then::End;
            }
            let inputs = self.inputs.clone();
            let file = self.watch.workspace.stage_file(order.lesson);
            let tell = move |input| inputs.send(input).is_ok();
            self.files = Some((id, Files::watch(&self.watch.workspace, file, tell)));
        }
        let Some(stage) = stages::stage(id) else {
            let why = match self.model.language {
                Language::En => format!("This version has no checks for {id} yet."),
                Language::Zh => format!("这个版本还没有 {id} 的检查。"),
            };
            let _ = self.inputs.send(Input::Untried(order.generation, why));
            return Then::GoOn;
        };
        let trial = Trial {
            lesson: order.lesson,
            stage,
            seed: order.seed,
            source: Source::Workspace {
                workspace: self.watch.workspace.clone(),
                color: self.watch.color,
            },
            guard: self.watch.guard.clone(),
        };
        self.trial = Some(tokio::spawn(attempt(trial, order.generation, self.inputs.clone())));
        Then::GoOn
    }

    /// Ends the trial that runs, and waits until it is dropped.
    async fn stop(&mut self) {
        if let Some(trial) = self.trial.take() {
            trial.abort();
            let _ = trial.await;
        }
    }
}

/// Runs a trial; what happens goes to the loop with its number.
async fn attempt(trial: Trial, generation: u64, inputs: mpsc::UnboundedSender<Input>) {
    let (events, mut happening) = mpsc::unbounded_channel();
    let running = trial.run(&events);
    tokio::pin!(running);
    let report = loop {
        tokio::select! {
            biased;
            Some(event) = happening.recv() => drop(inputs.send(Input::Trial(generation, event))),
            report = &mut running => break report,
        }
    };
    // The last of it may have come with the report.
    while let Ok(event) = happening.try_recv() {
        let _ = inputs.send(Input::Trial(generation, event));
    }
    let _ = inputs.send(Input::Done(generation, Box::new(report)));
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

enum Output {
    Screen(Screen),
    Lines,
}

/// The terminal, given back when this is dropped.
struct Screen {
    terminal: DefaultTerminal,
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}

// === impl Output ===

impl Output {
    fn screen(inputs: mpsc::UnboundedSender<Input>) -> io::Result<Self> {
        // From here on a panic gives the terminal back before it is told.
        let terminal = ratatui::try_init()?;
        let screen = Screen { terminal };
        std::thread::spawn(move || {
            // The terminal's events can only be waited for; the thread ends with
            // the process, or when nobody listens.
            while let Ok(event) = event::read() {
                let input = match event {
                    event::Event::Key(key) => keys::meaning(key).map(Input::Key),
                    event::Event::Resize(..) => Some(Input::Resized),
                    _ => None,
                };
                if input.is_some_and(|input| inputs.send(input).is_err()) {
                    return;
                }
            }
            // A terminal that is gone ends the watch.
            let _ = inputs.send(Input::Key(super::model::Key::Quit));
        });
        Ok(Self::Screen(screen))
    }

    fn draw(&mut self, model: &mut Model, around: &Surroundings) -> io::Result<Then> {
        if let Self::Screen(screen) = self {
            let before = model.scrolls();
            let mut size = (0, 0);
            screen.terminal.draw(|frame| size = screen::draw(frame, model, around))?;
            model.measured(size.0, size.1);
            // The keys depend on whether there is more than is shown.
            if before != model.scrolls() {
                screen.terminal.draw(|frame| size = screen::draw(frame, model, around))?;
                model.measured(size.0, size.1);
            }
        }
        Ok(Then::GoOn)
    }

    /// Prints lines, where lines are printed; it is over when nobody reads them.
    fn tell(&self, lines: impl FnOnce() -> Vec<String>) -> Then {
        if let Self::Lines = self {
            let mut out = io::stdout().lock();
            for line in lines() {
                if writeln!(out, "{line}").is_err() {
                    return Then::End;
                }
            }
            if out.flush().is_err() {
                return Then::End;
            }
        }
        Then::GoOn
    }
}
