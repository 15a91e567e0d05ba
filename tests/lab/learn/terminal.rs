//! A program in a terminal: what is on its screen, and the keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use unicode_width::UnicodeWidthStr;

use super::Learner;

/// How long an event may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// `learn` in a terminal of its own, of which it is the session's leader.
pub struct Terminal {
    child: Child,
    /// Our end, and the program's: with it the terminal stays when that has ended.
    ours: File,
    theirs: File,
    shared: Arc<(Mutex<Seen>, Condvar)>,
}

/// What the terminal has got so far.
pub struct Seen {
    parser: vt100::Parser,
    /// Every text that the screen has shown.
    pub texts: Vec<String>,
    /// Whether anything was ever in colour.
    pub colored: bool,
}

// === impl Seen ===

impl Seen {
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// The column at which the text begins, in the first row that has it.
    fn column(&self, text: &str) -> Option<usize> {
        let (_, columns) = self.screen().size();
        let mut rows = self.screen().rows(0, columns);
        rows.find_map(|row| row.split_once(text).map(|(before, _)| before.width()))
    }

    /// The line that tells of a failed run, once all of its frame is there.
    fn failed_run(&self) -> Option<String> {
        let text = self.text();
        let line = text.lines().nth(1)?.trim_end();
        let complete = line.contains("checks passed  seed ") && text.contains("exited-at-once");
        complete.then(|| line.to_owned())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        let (rows, columns) = self.screen().size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let colored = cells
            .filter_map(|(row, column)| self.screen().cell(row, column))
            .any(|cell| [cell.fgcolor(), cell.bgcolor()] != [vt100::Color::Default; 2]);
        self.colored |= colored;
        self.texts.push(self.text());
    }
}

// === impl Terminal ===

impl Terminal {
    /// Starts `learn` in a terminal of so many columns and rows.
    pub fn start(learner: &Learner, columns: u16, rows: u16) -> Self {
        Self::start_with(learner, columns, rows, |_| {})
    }

    /// The same, with a last word on the command.
    pub fn start_with(
        learner: &Learner,
        columns: u16,
        rows: u16,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&ours).expect("a granted terminal");
        unlockpt(&ours).expect("an unlocked terminal");
        tcsetwinsize(&ours, size(columns, rows)).expect("a size");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let theirs = || {
            let name = name.to_str().expect("a path");
            let flags =
                rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
            let opened = rustix::fs::open(name, flags, rustix::fs::Mode::empty());
            File::from(opened.expect("the terminal"))
        };
        // It becomes the program itself, in a session with this terminal.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_pingora-lab"), "learn"]);
        learner.place(&mut command);
        command
            .stdin(OwnedFd::from(theirs()))
            .stdout(OwnedFd::from(theirs()))
            .stderr(OwnedFd::from(theirs()));
        adjust(&mut command);
        let child = command.spawn().expect("the built binary starts");
        drop(command);
        let seen = Seen {
            parser: vt100::Parser::new(rows, columns, 0),
            texts: Vec::new(),
            colored: false,
        };
        let shared = Arc::new((Mutex::new(seen), Condvar::new()));
        let ours = File::from(ours);
        let (reader, writer) = (ours.try_clone().expect("a second end"), shared.clone());
        thread::spawn(move || follow(reader, &writer));
        Self { child, ours, theirs: theirs(), shared }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.0.lock().expect("no holder panics")
    }

    /// Waits until the screen is so.
    pub fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen();
        while !done(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never: {what}\n{}", seen.text());
            seen = self.shared.1.wait_timeout(seen, left).expect("no holder panics").0;
        }
    }

    /// Waits until the screen shows a text.
    pub fn shows(&self, text: &str) {
        self.until(text, |seen| seen.text().contains(text));
    }

    /// Waits until a text begins at a column.
    pub fn shows_at(&self, column: usize, text: &str) {
        self.until(&format!("{text} at {column}"), |seen| seen.column(text) == Some(column));
    }

    /// Waits for a failed run, and returns the line with its seed, by which it
    /// differs from the next.
    pub fn seed(&self) -> String {
        self.until("a failed run", |seen| seen.failed_run().is_some());
        self.seen().failed_run().expect("it was just there")
    }

    /// Waits for another failed run.
    pub fn another_run(&self, first: &str) {
        self.until("another run", |seen| seen.failed_run().is_some_and(|line| line != first));
    }

    pub fn press(&self, keys: &str) {
        (&self.ours).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen().parser.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.ours, size(columns, rows)).expect("a size");
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it is there");
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running\n{}", self.seen().text());
            // There is no portable blocking wait with a time limit.
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the terminal is as it was: its lines are edited and echoed, and it
    /// is the first screen, with a cursor.
    pub fn assert_given_back(&self) {
        let modes = tcgetattr(&self.theirs).expect("its state").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        self.until("the first screen", |seen| {
            !seen.screen().alternate_screen() && !seen.screen().hide_cursor()
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn follow(mut ours: File, shared: &(Mutex<Seen>, Condvar)) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(read @ 1..) = ours.read(&mut bytes) {
        // The test has failed.
        let Ok(mut seen) = shared.0.lock() else { return };
        seen.take(&bytes[..read]);
        drop(seen);
        shared.1.notify_all();
    }
}
