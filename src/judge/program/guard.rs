//! The guard: a small process between the judge and the program under test.
//!
//! Its stdin is a socket to the judge (see [`super::Order`]); the end of that
//! stream, whatever the reason, ends the program. It has three threads: one reads the
//! judge's words, one waits for children, and the first acts on what these
//! two bring. It runs no async runtime: it is to start in no time, and to do nothing
//! that could fail later.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpgid, getpid, kill_process,
    kill_process_group, setrlimit, wait,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::descendants::descendants;
use super::order::{ExitKind, Order, Report, Word};

/// How many processes a program under test may have at one time. A proxy has
/// one, or one for each processor and a few more.
pub const MOST_PROCESSES: usize = 64;

/// How often processes are counted; the kernel tells nobody of a new one.
const COUNT_EVERY: Duration = Duration::from_millis(25);

/// How often it is looked for processes that could still fork, before what was
/// found is killed.
const FREEZE_ROUNDS: usize = 50;

/// How soon to look again when nothing was found although something is left.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

enum Event {
    Said(Word),
    /// The judge has closed the stream, or has died.
    JudgeGone,
    Reaped(Pid, WaitStatus),
    /// No child is left, and so no descendant: none can come any more.
    NoneLeft,
}

/// The program, running or not yet waited for.
struct Guard {
    judge: UnixStream,
    events: Receiver<Event>,
    /// The program's process, and the number of its group.
    program: Pid,
    exited: bool,
    /// The judge's files, which nobody else removes once it is gone.
    scratch: Option<PathBuf>,
    /// Whether the judge has gone before all was ended.
    left_alone: bool,
}

/// Follows one order, from the first line on stdin to the end of every
/// process that the program has started.
///
/// # Errors
///
/// Stdin is no socket, or what it brings is no order.
pub fn run() -> io::Result<()> {
    let judge = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut words = BufReader::new(judge.try_clone()?);
    let mut line = String::new();
    words.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    match start(&order) {
        Ok(program) => {
            let (sender, events) = mpsc::channel();
            listen(words, sender.clone());
            reap(sender);
            let scratch = order.scratch;
            let (exited, left_alone) = (false, false);
            let mut guard = Guard { judge, events, program, exited, scratch, left_alone };
            guard.report(&Report::Started(program.as_raw_nonzero().get()));
            guard.watch();
        }
        Err(error) => write_line(&judge, &Report::NotStarted(error.to_string())),
    }
    Ok(())
}

/// Prepares this process and runs the program.
fn start(order: &Order) -> io::Result<Pid> {
    // A terminal's Ctrl-C and its closing are for the judge to answer. A
    // handler, unlike an ignored signal, is not passed on to the program.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // Processes whose parents have ended become our children, not init's, so
    // that none gets away by a double fork.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))?;
    limit(Resource::Core, 0)?;
    // On Linux this counts all private writable memory. A limit on the address space
    // would count what is only reserved, which Go and Java do by the gigabyte.
    limit(Resource::Data, order.memory_bytes)?;

    let (program, arguments) = order
        .command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(order.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&order.cwd)
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Pid::from_child(&child))
}

/// Lowers a limit of this process, and so of all that it starts. A lower one
/// that is set already stays.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource).maximum;
    let most = Some(now.map_or(most, |now| now.min(most)));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}

/// Passes on the judge's words.
fn listen(words: BufReader<UnixStream>, events: Sender<Event>) {
    thread::spawn(move || {
        for line in words.lines().map_while(Result::ok) {
            if let Ok(word) = serde_json::from_str(&line) {
                let _ = events.send(Event::Said(word));
            }
        }
        let _ = events.send(Event::JudgeGone);
    });
}

/// Waits for every child: the program, and orphans that have become ours.
fn reap(events: Sender<Event>) {
    thread::spawn(move || {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let _ = events.send(Event::Reaped(pid, status));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let _ = events.send(Event::NoneLeft);
    });
}

fn write_line(mut judge: &UnixStream, report: &Report) {
    // Nothing depends on the judge's reading it: if it is gone, that is an event.
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = judge.write_all(&line);
    }
}

// === impl Guard ===

impl Guard {
    fn report(&self, report: &Report) {
        write_line(&self.judge, report);
    }

    /// From the program's start until it is to be ended, and its end.
    fn watch(&mut self) {
        let mut none_left = false;
        loop {
            // With no process left there is nothing to count.
            let event = if none_left {
                self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.events.recv_timeout(COUNT_EVERY)
            };
            match event {
                Ok(Event::Said(Word::Interrupt)) => self.signal_group(Signal::INT),
                Ok(Event::Said(Word::Terminate)) => self.signal_program(Signal::TERM),
                Ok(Event::Said(Word::Quit)) => self.signal_program(Signal::QUIT),
                Ok(Event::Said(Word::End)) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Event::JudgeGone) => {
                    self.left_alone = true;
                    break;
                }
                Ok(Event::Reaped(pid, status)) => self.note_exit(pid, status),
                Ok(Event::NoneLeft) => none_left = true,
                Err(RecvTimeoutError::Timeout) => {
                    let count = descendants(getpid()).len();
                    if count > MOST_PROCESSES {
                        let count = self.freeze().len().max(count);
                        self.report(&Report::TooManyProcesses(count));
                        break;
                    }
                }
            }
        }
        self.signal_group(Signal::KILL);
        if !none_left {
            self.end_all();
        }
        if let Some(scratch) = self.scratch.take().filter(|_| self.left_alone) {
            let _ = std::fs::remove_dir_all(scratch);
        }
        self.report(&Report::Ended);
    }

    fn note_exit(&mut self, pid: Pid, status: WaitStatus) {
        if pid != self.program || self.exited {
            return;
        }
        self.exited = true;
        let kind = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExitKind::Code(code),
            (None, signal) => ExitKind::Signal(signal.unwrap_or_default()),
        };
        self.report(&Report::Exited(kind));
    }

    /// Kills until no child is left.
    fn end_all(&mut self) {
        loop {
            let found = self.freeze();
            for &pid in &found {
                let _ = kill_process(pid, Signal::KILL);
            }
            // A pass that has found some has killed a child of ours, and so an
            // event comes. One that has found none, though some are left, has
            // looked while they changed places.
            let patience = if found.is_empty() { LOOK_AGAIN } else { COUNT_EVERY };
            match self.events.recv_timeout(patience) {
                Ok(Event::Reaped(pid, status)) => self.note_exit(pid, status),
                Ok(Event::NoneLeft) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Event::JudgeGone) => self.left_alone = true,
                Ok(Event::Said(_)) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Stops every descendant, so that none forks while the others are killed.
    fn freeze(&self) -> Vec<Pid> {
        self.signal_group(Signal::STOP);
        let mut frozen = Vec::new();
        for _ in 0..FREEZE_ROUNDS {
            let found = descendants(getpid());
            let fresh: Vec<Pid> =
                found.iter().copied().filter(|pid| !frozen.contains(pid)).collect();
            if fresh.is_empty() {
                break;
            }
            for &pid in &fresh {
                let _ = kill_process(pid, Signal::STOP);
            }
            frozen.extend(fresh);
        }
        frozen
    }

    /// Signals the program's own process: what it has started is its to tell.
    fn signal_program(&self, signal: Signal) {
        if !self.exited {
            let _ = kill_process(self.program, signal);
        }
    }

    /// Signals the program's group, in one step for all its members.
    fn signal_group(&self, signal: Signal) {
        // Once the program is waited for and its group is empty, the number may
        // be another's.
        // (Where descendants cannot be listed, the group is all that there is to go by.)
        let member = |pid: &Pid| getpgid(Some(*pid)) == Ok(self.program);
        let certain = !self.exited || cfg!(not(target_os = "linux"));
        if certain || descendants(getpid()).iter().any(member) {
            let _ = kill_process_group(self.program, signal);
        }
    }
}
