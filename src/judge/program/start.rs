//! Whether the program under test has started: it listens where it was told.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::guarded::{Guarded, NotStarted};
use super::order::ExitKind;
use super::output::Output;
use super::panic_line::PanicLine;
use super::sockets::{Listeners, serves};

/// How often to look who listens. There is no event to wait for: the kernel
/// tells nobody that somebody listens.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// How long another process may hold the port before it is believed.
const TAKEN: Duration = Duration::from_millis(500);

/// How long a program may listen elsewhere, for each address at which it does. It may open several
/// listeners in turn, and on a busy machine the next is long in coming.
const ELSEWHERE: Duration = Duration::from_millis(1500);

/// How many lines of the output a failure carries.
const LINES: usize = 12;

/// Why a program does not listen where it was told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartFailure {
    /// It ended before it listened.
    #[error("the program ended with {exit} before it listened")]
    ExitedAtOnce {
        /// How it ended.
        exit: ExitKind,
        /// Its first panic, if it had one.
        panic: Option<PanicLine>,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// It listens, but elsewhere.
    #[error("the program listens on {found:?}, not on {told}")]
    ListensElsewhere {
        /// Where it was told to listen.
        told: SocketAddr,
        /// Where it does, in order.
        found: Vec<SocketAddr>,
    },
    /// It runs and does not listen anywhere.
    #[error("the program runs, but listens nowhere after {after:?}")]
    NeverListened {
        /// How long it was waited for.
        after: Duration,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// Another process has the port.
    #[error("another process has the port of {address}")]
    PortTaken {
        /// Where the program was told to listen.
        address: SocketAddr,
        /// Who has it, if that can be told.
        holder: Option<Holder>,
    },
    /// There is nothing to run: no such command, no permission, no such folder.
    #[error("the program cannot be run: {reason}")]
    CannotStart {
        /// The system's words.
        reason: String,
    },
    /// It ended for want of memory: its own limit, or the machine's end.
    #[error("the program ran out of memory")]
    OutOfMemory {
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// It started so many processes that it was ended for it.
    #[error("the program had {count} processes")]
    TooManyProcesses {
        /// How many there were.
        count: usize,
    },
    /// The judge or its guard has failed.
    #[error("the judge could not watch the program: {reason}")]
    Judge {
        /// What went wrong.
        reason: String,
    },
}

/// The process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name, as the system shows it.
    pub name: String,
}

/// Words of several languages' runtimes, and of the system, for memory that
/// could not be had.
const OUT_OF_MEMORY: [&str; 7] = [
    "memory allocation of ",
    "memory exhausted",
    "out of memory",
    "cannot allocate memory",
    "std::bad_alloc",
    "memoryerror",
    "outofmemoryerror",
];

/// Words for a port that somebody has already.
const IN_USE: [&str; 4] = ["address already in use", "addrinuse", "address in use", "eaddrinuse"];

/// Waits until the program listens where it was told, for as long as
/// `patience` allows.
///
/// A wildcard address of the right port will do, and so will a descendant of
/// the program. No connection is made: the program would see it.
///
/// # Errors
///
/// Why it does not listen; never before the reason is certain.
pub async fn wait_until_listening(
    program: &Guarded,
    listen: SocketAddr,
    patience: Duration,
) -> Result<(), StartFailure> {
    wait_until_listening_beside(program, listen, patience, None).await
}

/// The same of a program that may listen at one more address, be it sooner.
///
/// # Errors
///
/// As [`wait_until_listening`].
pub async fn wait_until_listening_beside(
    program: &Guarded,
    listen: SocketAddr,
    patience: Duration,
    other: Option<SocketAddr>,
) -> Result<(), StartFailure> {
    let start = Instant::now();
    let mut elsewhere = Settling::default();
    let mut taken = Settling::default();
    // Whoever has a port for a moment has it at the moment that counts, and may be gone before
    // it is known that the program has ended for it.
    let mut was_taken = false;
    loop {
        // Before the look, so that one who listened and then ended counts as ended.
        let exited = program.exited().is_some();
        let look = Instant::now();
        let listeners = Listeners::now(program.guard_pid(), program.pid())
            .map_err(|reason| StartFailure::Judge { reason })?;
        let cost = look.elapsed();
        let ours = listeners.program.iter().any(|&own| serves(own, listen));
        let theirs = listeners.others.iter().any(|&other| serves(other, listen));
        if ours && !theirs {
            return Ok(());
        }
        was_taken |= theirs;
        // A daemon whose parent ends at this moment may not be seen to be the program's.
        let for_long = taken.since(theirs.then_some(listen).into_iter().collect()) >= TAKEN;
        let late = start.elapsed() >= patience;
        let believed = theirs && (for_long || late);
        if (exited && (believed || !theirs)) || program.too_many_processes().is_some() {
            return Err(why_ended(program, listen, was_taken).await);
        }
        if believed {
            return Err(StartFailure::PortTaken { address: listen, holder: holder(listen) });
        }
        let mut found = listeners.program;
        found.retain(|own| Some(*own) != other);
        let settled = ELSEWHERE * u32::try_from(found.len()).unwrap_or(1);
        if !found.is_empty() && (elsewhere.since(found.clone()) >= settled || late) {
            return Err(StartFailure::ListensElsewhere { told: listen, found });
        }
        if late {
            let last_lines = program.output().last_lines(LINES);
            return Err(StartFailure::NeverListened { after: patience, last_lines });
        }
        // Where a look costs much, it is not to take the processor from those
        // who are looked at.
        let pause = LOOK_EVERY.max(cost * 3);
        let left = patience.saturating_sub(start.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => {}
            exit = program.wait_exited(), if !exited => if exit.is_none() {
                let reason = "the guard was killed".to_owned();
                return Err(StartFailure::Judge { reason });
            },
        }
    }
}

/// Why a program ended that had not listened. One that had can have ended for
/// want of memory or with too many processes, too.
pub(in crate::judge) async fn why_ended(
    program: &Guarded,
    listen: SocketAddr,
    theirs: bool,
) -> StartFailure {
    let exit = program.wait_exited().await;
    let Some(exit) = exit else {
        return StartFailure::Judge { reason: "the guard was killed".to_owned() };
    };
    if let Some(count) = program.too_many_processes() {
        return StartFailure::TooManyProcesses { count };
    }
    let output = program.output();
    let says = |words: &[&str]| {
        let text = (output.stderr.text() + &output.stdout.text()).to_lowercase();
        words.iter().any(|word| text.contains(word))
    };
    let killed = exit == ExitKind::Signal(rustix::process::Signal::KILL.as_raw());
    if (exit != ExitKind::Code(0) && says(&OUT_OF_MEMORY))
        || (killed && program.machine_ran_out_of_memory())
    {
        return StartFailure::OutOfMemory { last_lines: output.last_lines(LINES) };
    }
    // One who binds its own port twice also says that it is in use, but with
    // that one gone nobody has it.
    if theirs || (says(&IN_USE) && is_taken(listen)) {
        return StartFailure::PortTaken { address: listen, holder: holder(listen) };
    }
    exited_at_once(exit, &output)
}

fn exited_at_once(exit: ExitKind, output: &Output) -> StartFailure {
    StartFailure::ExitedAtOnce {
        exit,
        panic: PanicLine::find(&output.stderr.text()),
        last_lines: output.last_lines(LINES),
    }
}

fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn holder(address: SocketAddr) -> Option<Holder> {
    let process = listeners::get_process_by_port(address.port(), listeners::Protocol::TCP).ok()?;
    Some(Holder { pid: process.pid, name: process.name })
}

/// Since when a list of addresses has been the same.
#[derive(Default)]
struct Settling {
    addresses: Vec<SocketAddr>,
    since: Option<Instant>,
}

// === impl StartFailure ===

impl StartFailure {
    /// Whether the failure says nothing about the program: somebody else or
    /// the judge is the cause.
    pub fn is_inconclusive(&self) -> bool {
        matches!(self, Self::PortTaken { .. } | Self::Judge { .. })
    }
}

impl From<NotStarted> for StartFailure {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Program(reason) => Self::CannotStart { reason },
            NotStarted::Guard(error) => Self::Judge { reason: error.to_string() },
        }
    }
}

// === impl Settling ===

impl Settling {
    /// How long the list has been this one; none is no list.
    fn since(&mut self, addresses: Vec<SocketAddr>) -> Duration {
        if self.addresses != addresses || addresses.is_empty() {
            self.addresses = addresses;
            self.since = None;
        }
        self.since.get_or_insert_with(Instant::now).elapsed()
    }
}
