//! The real httpbin, in a Python environment under `target/`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The release that ours is compared with; another may answer otherwise.
const VERSION: &str = "httpbin==0.10.4";

/// How long the server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running httpbin, ended with the test.
pub struct Httpbin {
    server: Child,
    address: SocketAddr,
}

impl Httpbin {
    /// Installs it if that was not done before, and starts it on a free port;
    /// else says what is in the way.
    pub fn start() -> Result<Self, String> {
        let environment = install()?;
        let mut server = Command::new(python(&environment))
            // Threads, so that a connection that is kept open blocks no other.
            .args(["-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", "httpbin:app"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("gunicorn does not start: {error}"))?;
        let log = server.stderr.take().ok_or("gunicorn has no stderr")?;
        // Ended with `started` from here on, whatever happens.
        let mut started = Self { server, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (send, lines) = mpsc::channel();
        // Read to the end, so that the server never waits for a reader.
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut seen = String::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            let address = line.split_once("http://").and_then(|(_, rest)| {
                rest.split_whitespace().next().and_then(|address| address.parse().ok())
            });
            if let Some(address) = address {
                started.address = address;
                return Ok(started);
            }
            seen += &line;
            seen.push('\n');
        }
        Err(format!("gunicorn did not say where it listens:\n{seen}"))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Httpbin {
    fn drop(&mut self) {
        // A word to the parent, so that it ends its worker too.
        let asked = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        let deadline = Instant::now() + PATIENCE;
        while asked.as_ref().is_ok_and(|status| status.success()) && Instant::now() < deadline {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            // There is no portable blocking wait with a time limit.
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The environment, made once. Two runs of the tests may make it at the same
/// time: each makes its own, and the first to be done puts it in place.
fn install() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = root.join("httpbin");
    if check(&environment).is_ok() {
        return Ok(environment);
    }
    let own = root.join(format!("httpbin-{}", std::process::id()));
    let made = make(&own).and_then(|()| {
        // One that is there and does not work: the Python that it was made
        // with has gone.
        if check(&environment).is_err() {
            let _ = fs::remove_dir_all(&environment);
        }
        // It fails where another run was quicker, and then that one is taken.
        let _ = fs::rename(&own, &environment);
        check(&environment)
    });
    let _ = fs::remove_dir_all(&own);
    made.map(|()| environment)
}

fn make(environment: &Path) -> Result<(), String> {
    run(Path::new("python3"), &["-m", "venv", &environment.to_string_lossy()])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1"];
    run(&python(environment), &[pip.as_slice(), &[VERSION, "gunicorn"]].concat())
}

fn check(environment: &Path) -> Result<(), String> {
    run(&python(environment), &["-c", "import gunicorn, httpbin"])
}

/// The only program of the environment that is used: the others would have to
/// stay where they were made.
fn python(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

fn run(program: &Path, args: &[&str]) -> Result<(), String> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().next_back().unwrap_or("nothing on stderr").to_owned();
    Err(format!("{shown}: {}: {said}", output.status))
}
