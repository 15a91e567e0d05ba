//! A running `pingora-lab`, ended with the test that started it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long an event may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The built binary, running; killed when dropped.
pub struct Program {
    child: Child,
    stdout: Transcript,
    stderr: Transcript,
    ended: bool,
}

impl Program {
    /// Starts `pingora-lab` with these arguments.
    pub fn start<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start_with(args, |_| {})
    }

    /// The same, with a last word on the command (environment, directory).
    pub fn start_with<S: AsRef<str>>(
        args: impl IntoIterator<Item = S>,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pingora-lab"));
        command
            .args(args.into_iter().map(|arg| arg.as_ref().to_owned()))
            .env_remove("RUST_LOG")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().expect("the built binary starts");
        let stdout =
            child.stdout.take().map(Transcript::follow).unwrap_or_else(Transcript::of_nothing);
        let stderr =
            child.stderr.take().map(Transcript::follow).unwrap_or_else(Transcript::of_nothing);
        Self { child, stdout, stderr, ended: false }
    }

    /// Runs to the end: exit code, stdout, stderr.
    pub fn run<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> (i32, String, String) {
        Self::start(args).finish()
    }

    /// Waits for the end: exit code, stdout, stderr.
    pub fn finish(mut self) -> (i32, String, String) {
        let status = self.wait();
        let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"));
        (code, self.stdout.whole(), self.stderr.whole())
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                self.ended = true;
                return status;
            }
            assert!(Instant::now() < deadline, "still running\n{}", self.transcript());
            // There is no portable blocking wait with a time limit.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first line of stdout, from now or before, that `find` accepts.
    pub fn stdout_line<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        self.stdout.find(find).unwrap_or_else(|| panic!("no such line\n{}", self.transcript()))
    }

    /// The first line of stderr, from now or before, that `find` accepts.
    pub fn stderr_line<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        self.stderr.find(find).unwrap_or_else(|| panic!("no such line\n{}", self.transcript()))
    }

    /// All lines of stderr so far; once it has been waited for, all that there are.
    pub fn stderr(&self) -> Vec<String> {
        if self.ended {
            self.stderr.wait_for_the_end();
        }
        self.stderr.lines()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by number.
    pub fn signal(&self, signal: i32) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"));
        let signal = nix::sys::signal::Signal::try_from(signal).expect("a signal's number");
        nix::sys::signal::kill(pid, signal).expect("the child is there to signal");
    }

    fn transcript(&self) -> String {
        format!(
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout.lines().join("\n"),
            self.stderr.lines().join("\n")
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that a stream has brought, and word of each new one. Empty where
/// the test has put another stream in its place.
struct Transcript {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Transcript {
    fn of_nothing() -> Self {
        Self {
            shared: Arc::new((
                Mutex::new(State { ended: true, ..State::default() }),
                Condvar::new(),
            )),
        }
    }

    fn follow(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = lines.read_until(b'\n', &mut line);
                let mut state = writer.0.lock().expect("no holder panics");
                if !matches!(read, Ok(1..)) {
                    state.ended = true;
                    writer.1.notify_all();
                    return;
                }
                let text = String::from_utf8_lossy(&line);
                state.lines.push(text.trim_end_matches(['\n', '\r']).to_owned());
                writer.1.notify_all();
            }
        });
        Self { shared }
    }

    fn find<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.0.lock().expect("no holder panics");
        let mut seen = 0;
        loop {
            while let Some(line) = state.lines.get(seen) {
                if let Some(found) = find(line) {
                    return Some(found);
                }
                seen += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.shared.1.wait_timeout(state, left).expect("no holder panics").0;
        }
    }

    fn lines(&self) -> Vec<String> {
        self.shared.0.lock().expect("no holder panics").lines.clone()
    }

    /// Everything up to the end of the stream.
    fn whole(&self) -> String {
        self.wait_for_the_end();
        self.lines().join("\n")
    }

    fn wait_for_the_end(&self) {
        let mut state = self.shared.0.lock().expect("no holder panics");
        while !state.ended {
            state = self.shared.1.wait(state).expect("no holder panics");
        }
    }
}
