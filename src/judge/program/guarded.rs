//! A program under test that runs behind a guard.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cpu::CpuTime;
use super::order::{ExitKind, Order, Report, Word};
use super::orphans;
use super::output::{Output, Tail};

/// How long the guard may take to start the program.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long the guard may take to end everything. It takes milliseconds unless
/// a process is stuck in the kernel.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// A pipe holds no more than this for one without privileges; so much is read
/// after the program's exit to have all that it wrote before.
const MOST_IN_A_PIPE: usize = 1024 * 1024;

/// A program under test, running or ended, and its guard.
///
/// Dropped, it ends all the same; [`Guarded::end`] waits for that.
#[derive(Debug)]
pub struct Guarded {
    guard: Pid,
    program: Pid,
    to_guard: tokio::sync::Mutex<OwnedWriteHalf>,
    life: watch::Receiver<Life>,
    stdout: Stream,
    stderr: Stream,
    ooms_before: Option<u64>,
    /// Ends with the guard's process.
    guard_ended: JoinHandle<()>,
}

/// What the guard has reported.
#[derive(Clone, Debug, Default)]
struct Life {
    exited: Option<ExitKind>,
    too_many: Option<usize>,
    ended: bool,
    /// The stream has ended; nothing more will be reported.
    silent: bool,
}

/// One of the program's two streams, read for ever by a task of its own.
#[derive(Debug)]
struct Stream {
    tail: Arc<Mutex<Tail>>,
    /// All is read that was written before the program's exit.
    caught_up: watch::Receiver<bool>,
}

/// What is left of a program that was ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How the program's own process ended.
    pub exit: Option<ExitKind>,
    /// What it has written, up to its end.
    pub output: Output,
    /// Whether the guard has seen that no process of the program is left. False
    /// only if the guard was killed; then they were looked for and killed by other means.
    pub nothing_left: bool,
}

/// A program that was not started.
#[derive(Debug, Error)]
pub enum NotStarted {
    /// The program could not be run: there is none of that name, it may not be
    /// executed, its working directory is missing. The system's words.
    #[error("{0}")]
    Program(String),
    /// The guard did not do its work; that is no fault of the program.
    #[error("the guard of the program failed: {0}")]
    Guard(#[source] io::Error),
}

// === impl Guarded ===

impl Guarded {
    /// Starts a guard, which is `pingora-lab` at `guard_exe`, and has it run
    /// the program, with one more variable in its environment: `LAB_RUN`, by which
    /// its processes are found even if it kills the guard.
    ///
    /// # Errors
    ///
    /// The program or the guard cannot be started; nothing is left of either.
    pub async fn start(guard_exe: &Path, order: &Order) -> Result<Self, NotStarted> {
        let ooms_before = oom_kills();
        let (mut child, stream) = spawn_guard(guard_exe).map_err(NotStarted::Guard)?;
        let guard = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let guard = guard.ok_or_else(|| NotStarted::Guard(io::ErrorKind::NotFound.into()))?;
        let (sender, life) = watch::channel(Life::default());
        let stdout = child.stdout.take().and_then(|pipe| pipe.into_owned_fd().ok());
        let stderr = child.stderr.take().and_then(|pipe| pipe.into_owned_fd().ok());
        let stdout = Stream::follow(stdout, life.clone()).map_err(NotStarted::Guard)?;
        let stderr = Stream::follow(stderr, life.clone()).map_err(NotStarted::Guard)?;
        // In a task, so that it is waited for even if nobody asks.
        let guard_ended = tokio::spawn(async move {
            let _ = child.wait().await;
        });

        let run = uuid::Uuid::new_v4().to_string();
        let mut order = order.clone();
        order.env.push((orphans::VARIABLE.to_owned(), run.clone()));
        let (from_guard, mut to_guard) = stream.into_split();
        let mut reports = BufReader::new(from_guard);
        let report = match ask(&mut to_guard, &mut reports, &order).await {
            Ok(Report::Started(pid)) => Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData.into()),
            Ok(Report::NotStarted(reason)) => return Err(NotStarted::Program(reason)),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        };
        let program = match report {
            Ok(program) => program,
            Err(error) => {
                // The program may be there all the same, and have killed its guard.
                kill_orphans(run).await;
                // A guard speaks only when it fails; then what it said is the reason.
                let said = stderr.tail.lock().last_lines(3).join(" ");
                let error = if said.is_empty() { error } else { io::Error::other(said) };
                return Err(NotStarted::Guard(error));
            }
        };
        tokio::spawn(listen(reports, run, sender));
        let to_guard = tokio::sync::Mutex::new(to_guard);
        Ok(Self { guard, program, to_guard, life, stdout, stderr, ooms_before, guard_ended })
    }

    /// The process of the program, which leads a process group of its own.
    pub fn pid(&self) -> Pid {
        self.program
    }

    /// The process of the guard: the ancestor of all that the program starts.
    pub(in crate::judge) fn guard_pid(&self) -> Pid {
        self.guard
    }

    /// What the program has written so far, as far as it is kept.
    pub fn output(&self) -> Output {
        Output { stdout: self.stdout.tail.lock().clone(), stderr: self.stderr.tail.lock().clone() }
    }

    /// What the program has written to its standard output behind so many bytes; none if a
    /// part of that was not kept.
    pub fn written_since(&self, before: u64) -> Option<Vec<u8>> {
        self.stdout.tail.lock().since(before)
    }

    /// How the program's own process has ended, if it has.
    pub fn exited(&self) -> Option<ExitKind> {
        self.life.borrow().exited
    }

    /// How many processes there were, if the program was ended for having too
    /// many.
    pub fn too_many_processes(&self) -> Option<usize> {
        self.life.borrow().too_many
    }

    /// Waits until the program's own process has ended and its output up to
    /// then is read. `None` if its guard was killed, and so nobody knows.
    pub async fn wait_exited(&self) -> Option<ExitKind> {
        let mut life = self.life.clone();
        let exited = life.wait_for(|life| life.exited.is_some() || life.silent).await.ok()?.exited;
        for stream in [&self.stdout, &self.stderr] {
            let _ = stream.caught_up.clone().wait_for(|caught_up| *caught_up).await;
        }
        exited
    }

    /// Whether the machine has run out of memory and killed some process since
    /// the program was started.
    pub(super) fn machine_ran_out_of_memory(&self) -> bool {
        matches!((self.ooms_before, oom_kills()), (Some(before), Some(now)) if now > before)
    }

    /// The memory that all processes of the program take up, in bytes (`VmRSS`); none
    /// where the system does not say it.
    pub fn memory(&self) -> Option<u64> {
        let of = |pid: &Pid| {
            let path = format!("/proc/{}/status", pid.as_raw_nonzero());
            let status = std::fs::read_to_string(path).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        let all = super::descendants::descendants(self.guard);
        let sizes: Vec<_> = all.iter().filter_map(of).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }

    /// The CPU time that all processes of the program have taken so far; none where the
    /// system does not say it.
    pub fn cpu(&self) -> Option<CpuTime> {
        CpuTime::of(self.guard)
    }

    /// Sends SIGINT to the program's process group, as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub async fn interrupt(&self) -> io::Result<()> {
        write_line(&mut *self.to_guard.lock().await, &Word::Interrupt).await
    }

    /// Sends SIGTERM to the program's own process, as whoever stops a service does.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub async fn terminate(&self) -> io::Result<()> {
        write_line(&mut *self.to_guard.lock().await, &Word::Terminate).await
    }

    /// Sends SIGQUIT to the program's own process: another one takes over.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub async fn quit(&self) -> io::Result<()> {
        write_line(&mut *self.to_guard.lock().await, &Word::Quit).await
    }

    /// Ends the program and all that it has started, and waits until none is
    /// left.
    pub async fn end(mut self) -> Ended {
        // An error means that the guard is gone, which the stream tells as well.
        let _ = write_line(&mut *self.to_guard.lock().await, &Word::End).await;
        self.wake_guard();
        let ended = self.life.wait_for(|life| life.ended || life.silent);
        let in_time = tokio::time::timeout(END_PATIENCE, ended).await.is_ok();
        let life = self.life.borrow().clone();
        if life.ended {
            let _ = (&mut self.guard_ended).await;
            for stream in [&self.stdout, &self.stderr] {
                let _ = stream.caught_up.clone().wait_for(|caught_up| *caught_up).await;
            }
        } else if !in_time {
            let _ = kill_process(self.guard, Signal::KILL);
            // Then its stream ends, and what it has left is killed.
            let _ = self.life.wait_for(|life| life.silent).await;
        }
        Ended { exit: life.exited, output: self.output(), nothing_left: life.ended }
    }
}

impl Guarded {
    /// The program may have stopped its guard.
    fn wake_guard(&self) {
        if !self.guard_ended.is_finished() {
            let _ = kill_process(self.guard, Signal::CONT);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The stream closes next, which the guard takes as the word to end.
        self.wake_guard();
    }
}

/// Starts the guard, with one end of a stream as its stdin, in a process group
/// of its own, so that a terminal's Ctrl-C does not reach it.
fn spawn_guard(exe: &Path) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(exe)
        .arg("guard")
        // The allocator would count a gigabyte as used at once, and the guard lives
        // under the memory limit that it gives the program.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Gives the order, and takes the first report.
async fn ask(
    to_guard: &mut OwnedWriteHalf,
    reports: &mut BufReader<OwnedReadHalf>,
    order: &Order,
) -> io::Result<Report> {
    let asked = async {
        write_line(to_guard, order).await?;
        let mut line = String::new();
        reports.read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    };
    match tokio::time::timeout(START_PATIENCE, asked).await {
        Ok(report) => report,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn kill_orphans(run: String) {
    let _ = tokio::task::spawn_blocking(move || orphans::kill(&run)).await;
}

async fn write_line(
    to_guard: &mut OwnedWriteHalf,
    value: &impl serde::Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to_guard.write_all(&line).await
}

/// Takes the guard's reports until its stream ends.
async fn listen(mut reports: BufReader<OwnedReadHalf>, run: String, life: watch::Sender<Life>) {
    let mut line = String::new();
    while matches!(reports.read_line(&mut line).await, Ok(1..)) {
        if let Ok(report) = serde_json::from_str(&line) {
            life.send_modify(|life| match report {
                Report::Exited(kind) => life.exited = Some(kind),
                Report::TooManyProcesses(count) => life.too_many = Some(count),
                Report::Ended => life.ended = true,
                Report::Started(_) | Report::NotStarted(_) => {}
            });
        }
        line.clear();
    }
    let ended = life.borrow().ended;
    if !ended {
        kill_orphans(run).await;
    }
    life.send_modify(|life| life.silent = true);
}

/// How many processes the kernel has killed for want of memory since it began.
fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

// === impl Stream ===

impl Stream {
    fn follow(pipe: Option<OwnedFd>, life: watch::Receiver<Life>) -> io::Result<Self> {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (sender, caught_up) = watch::channel(false);
        let pipe = pipe.ok_or(io::ErrorKind::NotFound)?;
        let pipe = pipe::Receiver::from_owned_fd(pipe)?;
        tokio::spawn(read(pipe, Arc::clone(&tail), life, sender));
        Ok(Self { tail, caught_up })
    }
}

/// Reads until every process that could write has ended.
async fn read(
    pipe: pipe::Receiver,
    tail: Arc<Mutex<Tail>>,
    mut life: watch::Receiver<Life>,
    caught_up: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut exit_seen = false;
    loop {
        tokio::select! {
            ready = pipe.readable() => match ready.and_then(|()| pipe.try_read(&mut buffer)) {
                Ok(0) => break,
                Ok(length) => tail.lock().push(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            },
            seen = life.wait_for(|life| life.exited.is_some() || life.silent), if !exit_seen => {
                drop(seen);
                exit_seen = true;
                // Other processes may keep the pipe open and write on; what was
                // written before the exit is in the pipe now. (Past tokio, which
                // knows only of what its last look at the pipe has shown.)
                let mut length = 0;
                while let Ok(more @ 1..) = rustix::io::read(&pipe, &mut buffer[..]) {
                    tail.lock().push(&buffer[..more]);
                    length += more;
                    if length >= MOST_IN_A_PIPE {
                        break;
                    }
                }
                caught_up.send_replace(true);
            }
        }
    }
    caught_up.send_replace(true);
}
