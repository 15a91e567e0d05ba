//! A small program under test, and a search for what it might leave.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pingora_lab::judge::program::{Ended, Guarded, Launch, NotStarted};

/// How long an event may take on a busy machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// More than any program here needs.
pub const MEMORY: u64 = 512 * 1024 * 1024;

/// The program that is the guard.
pub fn guard_exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pingora-lab"))
}

/// Runs its test to the end on a runtime of its own.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// A guarded program, which has a mark in its environment, and so have all that it starts.
pub struct Run {
    pub guarded: Guarded,
    pub mark: Mark,
}

/// What tells the processes of one test from all others.
#[derive(Clone)]
pub struct Mark(String);

/// How to run a shell script, marked.
pub fn shell(script: &str) -> (Launch, Mark) {
    command(&["sh", "-c", script])
}

/// How to run a Perl script, marked. Perl is where a shell cannot do it.
pub fn perl(script: &str) -> (Launch, Mark) {
    command(&["perl", "-MPOSIX", "-MIO::Socket::IP", "-e", &format!("$| = 1; {script}")])
}

pub fn command(words: &[&str]) -> (Launch, Mark) {
    let mark = Mark::new();
    let launch = Launch {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        env: vec![("LAB_MARK".to_owned(), mark.0.clone())],
        cwd: PathBuf::from("/"),
        scratch: None,
    };
    (launch, mark)
}

// === impl Run ===

impl Run {
    pub async fn start(program: (Launch, Mark)) -> Self {
        Self::start_with(program, MEMORY).await.expect("the program starts")
    }

    pub async fn start_with(
        (launch, mark): (Launch, Mark),
        memory: u64,
    ) -> Result<Self, NotStarted> {
        let guarded = Guarded::start(guard_exe(), &launch.order(memory)).await?;
        Ok(Self { guarded, mark })
    }

    /// Waits until its standard output holds these words.
    pub async fn said(&self, words: &str) {
        self.until(words, |run| run.guarded.output().stdout.text().contains(words)).await;
    }

    pub async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "never: {what}\n{:?}", self.guarded.output());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends it, which must not take long, and leave nothing.
    pub async fn end(self) -> Ended {
        let start = Instant::now();
        let ended = self.guarded.end().await;
        let took = start.elapsed();
        assert!(ended.nothing_left, "the guard has not seen the end: {ended:?}");
        assert_eq!(self.mark.processes(), Vec::<i32>::new(), "still there");
        assert!(took < Duration::from_secs(3), "the end took {took:?}");
        ended
    }
}

// === impl Mark ===

impl Mark {
    pub fn new() -> Self {
        Self(format!("mark-{}", uuid::Uuid::new_v4()))
    }

    /// One that another process has printed.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The living processes that have the mark in their environment.
    pub fn processes(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(self.0.len()).any(|part| part == self.0.as_bytes())
        })
        .collect()
    }

    /// Waits until no process has it.
    pub fn wait_until_gone(&self) {
        self.wait_until("gone", |mark| mark.processes().is_empty());
    }

    /// Waits until something is so.
    pub fn wait_until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "never: {what}; there are {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
