//! A program that runs, and its file, which is changed meanwhile.
//!
//! Each backend answers with its name, so that a client sees where its request went.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use toml::Value;

use super::ID;
use crate::backends::recording::{Log, RecordingBackend};
use crate::judge::client::{Answer, Client, Request, Trouble};
use crate::judge::config_file::{ConfigFile, text};
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
            .repeat(by_hand(id))
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
            "program-ended" => finding.map(|found| found.renamed(id).repeat(by_hand(id))),
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

fn lab(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The file of a pool with these of the lab backends, as a command that writes it.
fn lab_file(ports: &[u16], interval: Duration, name: &str) -> String {
    let backends = ports.iter().copied().map(lab);
    let file = ConfigFile::new().listener(lab(6188)).pool("web", Some(interval), backends);
    file.route(&[], None, "web").command(name)
}

/// How to see by hand whether a change is taken, or what this is about.
pub fn by_hand(id: &str) -> Vec<String> {
    const ASK: &str = "curl -si 127.0.0.1:6188/get";
    const SECOND: Duration = Duration::from_secs(1);
    let file = |port: u16, name: &str| lab_file(&[port], INTERVAL, name);
    let next = |port: u16| format!("{} && mv next.toml lab.toml", file(port, "next.toml"));
    let run = format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}");
    // A backend that says when somebody comes.
    let listener = "nc -lkv 127.0.0.1 6193".to_owned();
    let (first, then) = match id {
        // As Kubernetes lays out a ConfigMap.
        "link-not-followed" => (
            vec![
                format!("mkdir -p one two; {}", file(6190, "one/lab.toml")),
                file(6191, "two/lab.toml"),
                "ln -sfn one ..data; ln -sf ..data/lab.toml lab.toml".to_owned(),
            ],
            vec![format!("ln -sfn two ..data; sleep 2; {ASK}")],
        ),
        "looks-only-when-asked" => (vec![listener, file(6190, "lab.toml")], vec![next(6193)]),
        "ends-without-file" | "empty-without-file" | "file-not-back" => (
            vec![file(6190, "lab.toml")],
            vec![
                format!("mv lab.toml away.toml; sleep 2; {ASK}"),
                format!("{}; sleep 2; {ASK}", next(6191)),
            ],
        ),
        "bad-file-stops-reloading" => (
            vec![file(6190, "lab.toml")],
            vec![format!("echo nonsense >lab.toml; sleep 2; {}; sleep 2; {ASK}", next(6191))],
        ),
        "in-flight-cut" | "reload-waits-for-requests" | "removed-still-used" => (
            vec![file(6190, "lab.toml")],
            vec![format!(
                "curl -si 127.0.0.1:6188/delay/5 & sleep 0.5; {}; sleep 2; {ASK}; wait",
                next(6191)
            )],
        ),
        RESTARTS
        | "connections-dropped"
        | "no-route-for-a-moment"
        | "no-backend-for-a-moment"
        | "last-change-lost" => (
            vec![file(6190, "lab.toml"), file(6190, "one.toml"), file(6191, "two.toml")],
            vec![
                "pingora-lab probe --no-keepalive --duration 20s --concurrency 4 --rate 200"
                    .to_owned(),
                "for i in $(seq 50); do for to in one two; do cp $to.toml next.toml; \
                 mv next.toml lab.toml; sleep 0.1; done; done"
                    .to_owned(),
            ],
        ),
        "removed-still-checked" | "old-checks-run-on" | "new-not-checked" => (
            vec![listener, lab_file(&[6190, 6193], SECOND, "lab.toml")],
            vec![
                "for port in 6191 6192 6190 6191; do sed \"s/:619[012]/:$port/\" lab.toml \
                 >next.toml; mv next.toml lab.toml; sleep 2; done"
                    .to_owned(),
                format!("{}; mv next.toml lab.toml", lab_file(&[6190, 6191], SECOND, "next.toml")),
            ],
        ),
        "read-for-each-request" => (
            vec![file(6190, "lab.toml")],
            vec![
                "inotifywait -m -e open lab.toml".to_owned(),
                "sleep 5; for i in $(seq 30); do curl -s -o /dev/null 127.0.0.1:6188/get; done"
                    .to_owned(),
            ],
        ),
        "routes-stay" | "old-route-stays" | "weights-stay" | "limits-stay" => (
            vec![everything(0).command("lab.toml"), everything(1).command("next.toml")],
            vec![
                "mv next.toml lab.toml; sleep 2; for path in new old calm calm; do curl -s -o \
                 /dev/null -w \"$path %{http_code}\\n\" 127.0.0.1:6188/anything/$path; done"
                    .to_owned(),
                "pingora-lab probe --no-keepalive --count 8 http://127.0.0.1:6188/get".to_owned(),
            ],
        ),
        "breaker-forgotten" | "limit-forgotten" => {
            let ask = "for path in status/500 status/500 anything anything anything; do curl -s \
                       -o /dev/null -D - 127.0.0.1:6188/$path; done";
            (
                vec![with_state(6190).command("lab.toml"), with_state(6191).command("next.toml")],
                vec![format!("{ask}; mv next.toml lab.toml; sleep 2; {ask}")],
            )
        }
        // Written over, and then twice another in its place.
        _ => (
            vec![file(6190, "lab.toml")],
            vec![
                format!("{}; cat next.toml >lab.toml; sleep 2; {ASK}", file(6191, "next.toml")),
                format!("{}; sleep 2; {ASK}", next(6192)),
                format!("{}; sleep 2; {ASK}", next(6190)),
            ],
        ),
    };
    let mut commands = vec!["pingora-lab backends".to_owned()];
    commands.extend(first);
    commands.push(run);
    commands.extend(then);
    commands
}

/// A file with routes, weights and a limit, before and after.
fn everything(changed: usize) -> ConfigFile {
    let file = ConfigFile::new()
        .listener(lab(6188))
        .table("[rate_limit.tight]", [("requests", Value::from(1)), ("burst", Value::from(1))]);
    let weights = [(lab(6190), Some([1, 3][changed])), (lab(6191), Some(1))];
    let file = file
        .pool("web", Some(INTERVAL), [lab(6190)])
        .weighted_pool("heavy", Some(INTERVAL), weights)
        .route(&[], Some("/get"), "heavy")
        .route(&[], Some(["/anything/old", "/anything/new"][changed]), "web")
        .route(&[], Some("/anything/calm"), "web");
    if changed == 0 { file } else { file.key("rate_limit", vec![text("tight")]) }
}

/// A file with a breaker and a limit, which stay, and a pool that changes.
fn with_state(port: u16) -> ConfigFile {
    let breaker = [
        ("consecutive_failures", Value::from(2)),
        ("open_for", text("60s")),
        ("statuses", Value::Array(vec![Value::from(500)])),
    ];
    ConfigFile::new()
        .listener(lab(6188))
        .table("[rate_limit.few]", [("requests", Value::from(1)), ("burst", Value::from(3))])
        .pool("ill", Some(INTERVAL), [lab(6190)])
        .table("[pool.circuit_breaker]", breaker)
        .pool("well", Some(INTERVAL), [lab(6190)])
        .pool("changes", Some(INTERVAL), [lab(port)])
        .route(&[], Some("/status"), "ill")
        .route(&[], Some("/anything"), "well")
        .key("rate_limit", vec![text("few")])
        .route(&[], None, "changes")
}

/// The name of a file.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
