//! A program that is to end, the backend behind it, and what it does when it is told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ID;
use crate::backends::recording::{Act, Gate, Log, RecordingBackend, Reply};
use crate::judge::certificates::Certificates;
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::program::ExitKind;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, echo};

/// So long that no check sees the end of it.
pub const LONG: Duration = Duration::from_secs(20);

/// How long a request may take to come to a backend, by which nothing is judged. (Who reads the
/// whole body first sends half of it to none.)
const TO_COME: Duration = Duration::from_secs(2);

/// How often to look whether something is so by now.
pub const LOOK_EVERY: Duration = Duration::from_millis(3);

/// A part of the target of requests that a backend holds.
const HELD: &str = "/held/";

/// What the files of a check have in common.
#[derive(Debug)]
pub struct Plan {
    pool: String,
    drain: Duration,
    /// Where TLS is spoken, if it is, and with which certificate.
    pub secure: Option<(SocketAddr, Certificates)>,
    /// Where the processes meet, if there is more than one.
    pub socket: Option<PathBuf>,
}

/// The program in front of one backend, which answers each request with its target, but for
/// those that it holds.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// Its backend.
    pub backend: RecordingBackend,
    /// What is in its file.
    pub plan: Plan,
    /// Those that are held are answered when it opens.
    pub gate: Gate,
}

// === impl Plan ===

impl Plan {
    /// One listener, and this limit for what is under way.
    pub fn drawn(scene: &Scene, drain: Duration) -> Self {
        let pool = scene.draw.word();
        scene.plan(format!("{pool}, {} ms", drain.as_millis()));
        Self { pool, drain, secure: None, socket: None }
    }

    /// With a listener for TLS, and a place where processes can meet.
    ///
    /// # Errors
    ///
    /// There is none, which is inconclusive.
    pub fn with_successor(self, scene: &Scene) -> Result<Self, Finding> {
        let certificates = scene.certificates(&[vec![format!("{}.test", scene.draw.word())]])?;
        let socket = scene.config_path()?.with_file_name("upgrade.sock");
        let secure = Some((scene.free_address()?, certificates));
        Ok(Self { secure, socket: Some(socket), ..self })
    }

    /// The file for this address and this backend. Health checks are so seldom that none comes
    /// while something is looked at.
    pub fn file(&self, listen: SocketAddr, backend: SocketAddr) -> ConfigFile {
        let mut file = ConfigFile::new().listener(listen);
        if let Some((address, certificates)) = &self.secure {
            let files =
                certificates.all().iter().map(|one| (&*one.certificate_file, &*one.key_file));
            file = file.listener(*address).certificates(files);
        }
        let file = file.pool(&self.pool, Some(LONG), [backend]).route(&[], None, &self.pool);
        self.ending(file)
    }

    fn ending(&self, file: ConfigFile) -> ConfigFile {
        let drain = text(format!("{}ms", self.drain.as_millis()));
        let file = file.table("[shutdown]", [("drain", drain)]);
        match &self.socket {
            Some(socket) => file.table("[upgrade]", [("socket", text(socket.display()))]),
            None => file,
        }
    }

    /// The same by hand, in front of the lab backends; its sockets are in the folder.
    fn by_hand(&self) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let socket = self.socket.as_ref().map(|_| PathBuf::from("/tmp/lab-upgrade.sock"));
        let plan = Self { pool: self.pool.clone(), drain: self.drain, secure: None, socket };
        vec![
            "pingora-lab backends".to_owned(),
            plan.file(lab(6188), lab(6190)).command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}; echo exit code $?"),
        ]
    }
}

// === impl Setup ===

impl<'a> Setup<'a> {
    /// Starts it with this limit, and sees that it answers.
    ///
    /// # Errors
    ///
    /// Why it does not listen, or does not answer.
    pub async fn start(scene: &'a Scene, drain: Duration) -> Result<Self, Finding> {
        Self::start_with(scene, Plan::drawn(scene, drain)).await
    }

    /// The same with this plan.
    ///
    /// # Errors
    ///
    /// As [`Setup::start`].
    pub async fn start_with(scene: &'a Scene, plan: Plan) -> Result<Self, Finding> {
        let backend = scene.backends_named(&plan.pool, 1)?.remove(0);
        let gate = Gate::closed();
        holds(&backend, &gate);
        let address = backend.address();
        let started = scene.start_configured(&[], &[], &|listen| plan.file(listen, address)).await;
        let running = started.map_err(|finding| match finding.diagnosis().id {
            "good-file-refused" => {
                finding.map(|found| found.renamed("shutdown-not-known").repeat(plan.by_hand()))
            }
            _ => finding,
        })?;
        let setup = Self { scene, running, backend, plan, gate };
        let secure = setup.plan.secure.as_ref().map(|(address, _)| *address);
        setup.running.listens_also(secure.as_slice()).await?;
        setup.is_well().await?;
        Ok(setup)
    }

    /// A request is answered.
    ///
    /// # Errors
    ///
    /// It is not.
    pub async fn is_well(&self) -> Outcome {
        let own = Own::drawn(self.scene, &self.running, "GET");
        let tried = own.send(self.scene, self.running.client()).await;
        if tried.served() { Ok(()) } else { Err(tried.finding(self.scene, &self.running).await) }
    }

    /// A request that the backend holds until the gate opens.
    pub fn held(&self) -> Own {
        let draw = &self.scene.draw;
        let target = format!("/anything{HELD}{}/{}", draw.word(), draw.word());
        Own::drawn_to(self.scene, &self.running, "GET", target)
    }

    /// Waits until the backend has received this request; nothing is judged by it.
    pub async fn comes(&self, own: &Own) {
        let there =
            |log: &Log| log.requests().find(|one| one.target == own.request.target).map(|_| ());
        self.scene.recorder.wait_for(Instant::now() + TO_COME, there).await;
    }

    /// Waits until it no longer listens where clients come, or has ended; whether that was so
    /// before the deadline.
    ///
    /// # Errors
    ///
    /// The system does not say who listens.
    pub async fn stops_listening(&self, deadline: Instant) -> Result<bool, Finding> {
        while self.running.exit().is_none() && self.running.listens_at(self.running.listen)? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    /// A diagnosis with the program's end, or that there is none, in its evidence.
    pub fn found(&self, id: &'static str) -> Diagnosis {
        let exit = self.running.exit();
        let exit = exit.map_or_else(|| "it runs on".to_owned(), |exit| exit.to_string());
        Diagnosis::new(id)
            .with("exit", exit)
            .with("drain_ms", milliseconds(self.plan.drain))
            .with("output", self.running.last_lines())
    }

    /// It ended with exit code 0.
    ///
    /// # Errors
    ///
    /// It ended otherwise.
    pub fn is_zero(&self, exit: ExitKind, signal: &'static str) -> Outcome {
        if exit == ExitKind::Code(0) {
            return Ok(());
        }
        let found = self.found("exit-not-zero").compared("exit code 0", exit);
        Err(found.with("signal", signal).repeat(self.by_hand(signal)).fail())
    }

    /// The same by hand, with a request that takes three seconds under way when the signal
    /// comes.
    pub fn by_hand(&self, signal: &str) -> Vec<String> {
        let mut commands = self.plan.by_hand();
        let kill = kill(signal);
        if signal == "SIGQUIT" {
            let slow = SLOW.replace("/delay/3", "/delay/5");
            commands.push(
                "pingora-lab probe --no-keepalive --duration 20s --concurrency 4 --rate 100 \
                 http://127.0.0.1:6188/get"
                    .to_owned(),
            );
            // Who takes over waits for six seconds, and not for somebody to type.
            commands.push(format!(
                "{slow} & (sleep 3; {kill}) & LAB_UPGRADE=1 LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"
            ));
        } else {
            let new = "curl -sSi http://127.0.0.1:6188/get";
            commands.push(format!("{SLOW} & sleep 0.5; {kill}; sleep 1.5; {new}; wait"));
        }
        commands
    }

    /// The same with a connection that is kept and over which nothing is asked.
    pub fn by_hand_idle(&self) -> Vec<String> {
        let mut commands = self.plan.by_hand();
        commands.extend([
            "(printf 'GET /get HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n'; sleep 60) | nc 127.0.0.1 6188"
                .to_owned(),
            format!(
                "{SLOW} & sleep 0.5; {}; sleep 1.5; ss -tnH state established '( sport = :6188 )'; wait",
                kill("SIGTERM")
            ),
        ]);
        commands
    }
}

/// A request that takes three seconds, with the head of its answer.
const SLOW: &str =
    "curl -s -o /dev/null -D - -w '%{http_code} after %{time_total} s\\n' 127.0.0.1:6188/delay/3";

/// A command that sends this to the first of the processes.
fn kill(signal: &str) -> String {
    format!("pkill -{} -o -f '/{ID}$'", signal.trim_start_matches("SIG"))
}

/// The backend answers with the target of each request, and holds some.
pub fn holds(backend: &RecordingBackend, gate: &Gate) {
    echo(std::slice::from_ref(backend));
    let hold = gate.clone();
    backend.set_to(move |received| {
        let reply = Reply::ok(received.target.clone());
        if received.target.contains(HELD) {
            Act::Hold(hold.clone(), reply)
        } else {
            Act::Answer(reply)
        }
    });
}

/// As a fact.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time between these, in milliseconds.
pub fn drawn(scene: &Scene, milliseconds: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(scene.draw.number(milliseconds))
}
