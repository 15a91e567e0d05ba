//! A program that runs, and its file, which is changed meanwhile.
//!
//! Each backend answers with its name, so that a client sees where its request went.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::ID;
use crate::backends::recording::{Log, RecordingBackend};
use crate::judge::client::{Answer, Client, Request, Trouble};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The program has ended when its file changed.
pub const ENDS: &str = "ends-on-change";

/// It begins anew when its file changes, and for a moment nobody listens.
pub const RESTARTS: &str = "restarts-to-reload";

/// By when a change is to be seen: within a second, and half of one more.
pub const SEEN: Duration = Duration::from_millis(1500);

/// By when it is to be seen where the machine is busy, which plain requests show: each of them
/// takes longer than [`SLOW`] there.
const SEEN_BY_THE_SLOW: Duration = Duration::from_secs(4);

/// On a machine that is not busy a request takes a few milliseconds.
const SLOW: Duration = Duration::from_millis(60);

/// The pause between two requests that wait for a change.
const PAUSE: Duration = Duration::from_millis(10);

/// The same where nobody has come to the new backend yet. Most programs look at its health before
/// they use it, which is noticed; one that does not is asked this often.
const UNMET: Duration = Duration::from_millis(40);

/// How often backends are looked at where nothing is counted.
pub const INTERVAL: Duration = Duration::from_millis(150);

/// A program, and its file.
pub struct Live<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// Its file.
    pub path: PathBuf,
    asked: AtomicUsize,
}

/// A pool with one route to it.
pub struct Part {
    /// The name of the pool.
    pub pool: String,
    /// The prefix of the route.
    pub prefix: String,
}

// === impl Part ===

impl Part {
    /// With names that are drawn.
    pub fn drawn(scene: &Scene) -> Self {
        let pool = scene.draw.word();
        Self { prefix: format!("/anything/{pool}"), pool }
    }

    /// Adds the pool and the route to a file.
    pub fn add(&self, file: ConfigFile, backends: &[&RecordingBackend]) -> ConfigFile {
        let backends = backends.iter().map(|backend| backend.address());
        let file = file.pool(&self.pool, Some(INTERVAL), backends);
        file.route(&[], Some(&self.prefix), &self.pool)
    }

    /// A file with this part alone.
    pub fn alone(&self, listen: SocketAddr, backends: &[&RecordingBackend]) -> ConfigFile {
        self.add(ConfigFile::new().listener(listen), backends)
    }
}

// === impl Live ===

impl<'a> Live<'a> {
    /// Starts the program with a file for the address to listen on.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(
        scene: &'a Scene,
        write: &(dyn Fn(SocketAddr) -> ConfigFile + Sync),
    ) -> Result<Self, Finding> {
        let running = scene.start_configured(&[], &[], write).await?;
        let path = running.config.clone();
        let path = path.ok_or_else(|| scene.our_error("a file", &"there is none"))?;
        Ok(Self { scene, running, path, asked: AtomicUsize::new(0) })
    }

    /// The address for which files are written.
    pub fn listen(&self) -> SocketAddr {
        self.running.listen
    }

    /// Writes over what is in the file that is there. It is at no time empty, or ends early:
    /// what a program makes of half a file is chance.
    ///
    /// # Errors
    ///
    /// It can't be written, which is inconclusive.
    pub fn write(&self, file: &ConfigFile) -> Outcome {
        let written =
            std::fs::OpenOptions::new().write(true).open(&self.path).and_then(|mut old| {
                let mut text = file.text();
                let before = usize::try_from(old.metadata()?.len()).unwrap_or_default();
                // A line more each time: where the clock of files is coarse, their length alone
                // tells two changes apart that follow each other closely.
                text.extend(std::iter::repeat_n('\n', (before + 1).saturating_sub(text.len())));
                old.write_all(text.as_bytes())
            });
        self.ours(written)
    }

    /// Puts another file in the place of the one that is there, as most editors do.
    ///
    /// # Errors
    ///
    /// As [`Live::write`].
    pub fn replace(&self, file: &ConfigFile) -> Outcome {
        let beside = self.path.with_extension("new");
        let replaced = std::fs::write(&beside, file.text())
            .and_then(|()| std::fs::rename(&beside, &self.path));
        self.ours(replaced)
    }

    /// What came of our own work with files.
    pub fn ours(&self, done: io::Result<()>) -> Outcome {
        done.map_err(|error| self.scene.our_error("the file could not be changed", &error))
    }

    /// A path below this prefix that no other request has.
    pub fn target(&self, prefix: &str) -> String {
        format!("{prefix}/{}", self.asked.fetch_add(1, Relaxed))
    }

    /// A GET below this prefix.
    pub fn request(&self, prefix: &str) -> Request {
        self.running.request("GET", self.target(prefix))
    }

    /// Sends one.
    ///
    /// # Errors
    ///
    /// What there was instead of an answer.
    pub async fn ask(&self, prefix: &str) -> Result<Answer, Trouble> {
        self.client().send(&self.request(prefix)).await
    }

    /// A client of the program.
    pub fn client(&self) -> Client {
        self.running.client()
    }

    /// Whether what has changed then should have been seen by now, with how long a request took
    /// just before.
    pub fn is_late(since: Instant, request: Duration) -> bool {
        let by = if request > SLOW { SEEN_BY_THE_SLOW } else { SEEN };
        since.elapsed() > by
    }

    /// Sends one that some backend must answer.
    ///
    /// # Errors
    ///
    /// None did.
    pub async fn served(&self, prefix: &str) -> Result<Answer, Finding> {
        let request = self.request(prefix);
        match self.client().send(&request).await {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(answer) => Err(Diagnosis::new("status-changed")
                .compared(200, answer.status)
                .with("request", format!("GET {}", request.target))
                .fail()),
            Err(trouble) => Err(self.running.trouble(&trouble, &request).await),
        }
    }

    /// Waits until this backend answers what is sent to the prefix; a diagnosis with this id if
    /// it does not in time. What goes wrong meanwhile is for another check.
    ///
    /// # Errors
    ///
    /// The program did not take the change.
    pub async fn takes(
        &self,
        prefix: &str,
        backend: &RecordingBackend,
        id: &'static str,
    ) -> Outcome {
        let since = Instant::now();
        loop {
            let asked = Instant::now();
            let answered = self.ask(prefix).await;
            if is_of(&answered, backend) {
                return Ok(());
            }
            self.lives(ENDS).await?;
            if Self::is_late(since, asked.elapsed()) {
                return Err(self.not_seen(id, prefix, backend, &answered));
            }
            self.meets(backend).await;
        }
    }

    /// Waits until somebody comes to this backend, if nobody has before; for a moment in any
    /// case.
    async fn meets(&self, backend: &RecordingBackend) {
        let came = |log: &Log| log.connections_to(backend.name()).next().map(|_| ());
        if self.scene.recorder.read(came).is_some() {
            tokio::time::sleep(PAUSE).await;
        } else {
            self.scene.recorder.wait_for(Instant::now() + UNMET, came).await;
        }
    }

    /// A change was not seen.
    pub fn not_seen(
        &self,
        id: &'static str,
        prefix: &str,
        backend: &RecordingBackend,
        answered: &Result<Answer, Trouble>,
    ) -> Finding {
        let seen = in_words(answered);
        let seconds = format!("{:.1}", SEEN.as_secs_f64());
        Diagnosis::new(id)
            .compared(format!("an answer of {}", backend.name()), &seen)
            .with("backend", backend.name())
            .with("prefix", prefix)
            .with("seen", seen)
            .with("seconds", seconds)
            .with("output", self.last_lines())
            .repeat(by_hand())
            .timed()
            .fail()
    }

    /// The program has not ended; else a diagnosis with this id.
    ///
    /// # Errors
    ///
    /// It has.
    pub async fn lives(&self, id: &'static str) -> Outcome {
        let Some(finding) = self.running.ended().await else { return Ok(()) };
        Err(match finding.diagnosis().id {
            "program-ended" => finding.map(|found| found.renamed(id).repeat(by_hand())),
            _ => finding,
        })
    }

    /// The last lines of its standard error.
    pub fn last_lines(&self) -> Vec<String> {
        let [_, (_, stderr)] = self.running.written();
        let lines = stderr.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<_> = lines.map(|line| line.chars().take(400).collect()).collect();
        lines[lines.len().saturating_sub(12)..].to_vec()
    }
}

/// Whether the answer is this backend's.
pub fn is_of(answered: &Result<Answer, Trouble>, backend: &RecordingBackend) -> bool {
    answered.as_ref().is_ok_and(|answer| answer.status == 200 && answer.text() == backend.name())
}

/// What came of a request: whose answer, or which status, or what instead.
pub fn in_words(answered: &Result<Answer, Trouble>) -> String {
    match answered {
        Ok(answer) if answer.status == 200 => format!("the answer of {}", answer.text()),
        Ok(answer) => format!("status {}", answer.status),
        Err(trouble) => trouble.to_string(),
    }
}

/// The file of a pool with one of the lab backends, as a command that writes it.
fn lab_file(port: u16, name: &str) -> String {
    let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let file = ConfigFile::new().listener(lab(6188)).pool("web", Some(INTERVAL), [lab(port)]);
    file.route(&[], None, "web").command(name)
}

/// How to see by hand whether a change is taken.
pub fn by_hand() -> Vec<String> {
    vec![
        "pingora-lab backends".to_owned(),
        lab_file(6190, "lab.toml"),
        format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
        format!("{} && mv next.toml lab.toml", lab_file(6191, "next.toml")),
        "sleep 1; curl -si 127.0.0.1:6188/get".to_owned(),
    ]
}

/// The name of a file.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
