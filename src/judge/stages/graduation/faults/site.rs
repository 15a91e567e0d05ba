//! The program in front of its pools, and what is known of all that was asked of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use toml::Value;

use super::deeds::{Ledger, Mood};
use super::load::Asked;
use crate::backends::recording::{Log, RecordingBackend};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::metrics::measured::taken;
use crate::judge::stages::own::{listen, refuse};

/// How often the backends are looked at.
pub const INTERVAL: Duration = Duration::from_millis(150);

/// So many failures in a row open a breaker.
pub const FAILURES: usize = 3;

/// How long it is open.
pub const OPEN_FOR: Duration = Duration::from_millis(400);

/// How long the pool that is hurt most waits for the head of an answer.
const TOTAL: Duration = Duration::from_secs(3);

/// By when a backend that is well again serves again: the time of a breaker and of some looks,
/// many times over.
pub const RETURNS: Duration = Duration::from_secs(4);

/// By when others are to be served who have nothing to do with what goes on.
pub const SERVED: Duration = Duration::from_secs(3);

/// How long the end of what was asked is waited for: more than its client waits for an answer.
const ENDS: Duration = Duration::from_secs(5);

/// The pause between two looks at what has become of something.
pub const PAUSE: Duration = Duration::from_millis(10);

/// How many admin ports may be taken by somebody else before the program binds them.
const PORT_TRIES: usize = 3;

/// The host that has a route of its own.
pub const HOST: &str = "shop.test";

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing yet.
    Calm,
    /// A backend is killed, and comes back.
    Killed,
    /// A backend comes and goes.
    Flapping,
    /// A backend is slow.
    Slow,
    /// A backend does not answer.
    Hanging,
    /// A backend breaks off before the head of its answer is whole.
    BrokenHeads,
    /// A backend breaks off in the body of its answer.
    BrokenBodies,
    /// Many requests wait for one backend.
    Held,
    /// Clients leave, which says nothing of backends.
    Trial,
    /// A backend fails until its breaker opens, and a client leaves that has the request by
    /// which that decides.
    Opens,
    /// The file changes, and is broken in between.
    Reloads,
    /// Clients leave in the middle, or say nothing, or nonsense.
    BadClients,
    /// All of it together.
    Storm,
    /// All is well again.
    After,
}

/// Backends and the paths that come to them.
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The beginning of the paths.
    pub prefix: String,
    /// Its backends.
    pub backends: Vec<RecordingBackend>,
}

/// All connections of a backend are closed between these.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// The first is not closed before.
    pub start: Instant,
    /// The last is closed by then.
    pub end: Instant,
}

/// A request whose client has left.
#[derive(Clone, Debug)]
pub struct Left {
    /// Its target.
    pub target: String,
    /// How it left.
    pub how: &'static str,
    /// Whether a backend had received it, so that there must be a line about it.
    pub received: bool,
}

/// The program, its pools and all that is known.
pub struct Site<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// Where its metrics are.
    pub admin: SocketAddr,
    /// The pools.
    pub pools: Arc<Pools>,
    /// What the backends have done.
    pub ledger: Arc<Ledger>,
    /// What was asked, as it ended.
    pub asked: Mutex<Vec<Asked>>,
    /// The targets of what is asked now.
    pub under_way: Mutex<HashSet<String>>,
    /// Requests whose clients left.
    pub left: Mutex<Vec<Left>>,
    /// When backends have closed their connections.
    pub kills: Mutex<Vec<Kill>>,
    /// Whether the load is to end.
    pub over: AtomicBool,
    /// GETs and POSTs that were served.
    pub served: [AtomicUsize; 2],
    phases: Mutex<Vec<Phase>>,
    count: AtomicU64,
    config: PathBuf,
    version: AtomicUsize,
}

/// All pools.
#[derive(Debug)]
pub struct Pools {
    /// Which has all the faults.
    pub web: Pool,
    /// The second one.
    pub api: Pool,
    /// Which has no load.
    pub pair: Pool,
    /// Which has clients that stall, and no load.
    pub stalled: Pool,
    /// Which shows the version of the file: one backend of it is in the file.
    pub sign: Pool,
    /// How long `web` and `stalled` wait between two pieces of an answer.
    pub read: Duration,
}

// === impl Phase ===

impl Phase {
    /// What goes on, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Calm => "before anything had happened",
            Self::Killed => "while one backend was down",
            Self::Flapping => "while one backend came and went",
            Self::Slow => "while one backend was slow",
            Self::Hanging => "while one backend did not answer",
            Self::BrokenHeads => "while one backend broke off in the head of its answers",
            Self::BrokenBodies => "while one backend broke off in the body of its answers",
            Self::Held => "while many requests waited for one backend",
            Self::Trial => "while clients left who had waited for their answers",
            Self::Opens => {
                "while one backend answered 500, and a client left that was to try it again"
            }
            Self::Reloads => "while the file changed",
            Self::BadClients => "while bad clients came and went",
            Self::Storm => "while all of it happened at once",
            Self::After => "after all faults were over",
        }
    }
}

// === impl Pools ===

impl Pools {
    fn drawn(scene: &Scene) -> Result<Self, Finding> {
        let pool = |count| -> Result<Pool, Finding> {
            let name = scene.draw.word();
            let backends = scene.backends_named(&name, count)?;
            Ok(Pool { prefix: format!("/anything/{name}"), name, backends })
        };
        let (web, api, pair) = (pool(4)?, pool(2)?, pool(2)?);
        let (stalled, sign) = (pool(2)?, pool(2)?);
        let read = Duration::from_millis(scene.draw.number(450..550));
        scene.plan(format!("web is {}, with read {read:?}; api is {}", web.name, api.name));
        Ok(Self { web, api, pair, stalled, sign, read })
    }

    /// The file of this version, without one backend of `web` or with all.
    fn file(
        &self,
        at: (SocketAddr, SocketAddr),
        version: usize,
        without: Option<usize>,
    ) -> ConfigFile {
        let web = self.web.backends.iter().enumerate();
        let web = web.filter(|(place, _)| Some(*place) != without).map(|(_, one)| one.address());
        let all = |pool: &Pool| -> Vec<_> {
            pool.backends.iter().map(RecordingBackend::address).collect()
        };
        let sign = self.sign.backends[version % self.sign.backends.len()].address();
        let names = self.all().map(|pool| pool.name.as_str());
        let [_, api, pair, stalled, _] = self.all().map(all);
        file(at, names, [web.collect(), api, pair, stalled, vec![sign]], self.read)
    }

    /// Each of them.
    pub fn all(&self) -> [&Pool; 5] {
        [&self.web, &self.api, &self.pair, &self.stalled, &self.sign]
    }
}

// === impl Site ===

impl<'a> Site<'a> {
    /// Starts the program.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(scene: &'a Scene) -> Result<Self, Finding> {
        let pools = Arc::new(Pools::drawn(scene)?);
        let ledger = Arc::new(Ledger::default());
        let backends = pools.all().into_iter().flat_map(|pool| &pool.backends);
        backends.for_each(|backend| ledger.keep(backend));
        for _ in 0..PORT_TRIES {
            let admin = scene.free_address()?;
            let write = |listen| pools.file((listen, admin), 0, None);
            let running = scene.start_configured(&[], &[], &write).await?;
            if taken(&running, admin).await? {
                continue;
            }
            let config = running.config.clone().unwrap_or_default();
            return Ok(Self {
                scene,
                running,
                admin,
                pools,
                ledger,
                asked: Mutex::default(),
                under_way: Mutex::default(),
                left: Mutex::default(),
                kills: Mutex::default(),
                over: AtomicBool::new(false),
                served: Default::default(),
                phases: Mutex::new(vec![Phase::Calm]),
                count: AtomicU64::new(0),
                config,
                version: AtomicUsize::new(0),
            });
        }
        Err(scene.our_error("no admin port", &"each was taken by somebody else meanwhile"))
    }

    /// From now on this goes on. What was asked before has ended, so that it is not put down to
    /// this.
    pub async fn turn(&self, phase: Phase) {
        self.settled().await;
        self.phases.lock().push(phase);
    }

    /// Waits until all that is asked now has ended.
    pub async fn settled(&self) {
        let asked = self.under_way.lock().clone();
        self.until(ENDS, || self.under_way.lock().is_disjoint(&asked)).await;
    }

    /// What goes on now, and which of all it is.
    pub fn phase(&self) -> (usize, Phase) {
        let phases = self.phases.lock();
        (phases.len(), phases.last().copied().unwrap_or(Phase::Calm))
    }

    /// A number that no request has had.
    pub fn number(&self) -> u64 {
        self.count.fetch_add(1, Relaxed)
    }

    /// Connections are refused from now on, and those that are open end.
    ///
    /// # Errors
    ///
    /// Our own.
    pub fn kill(&self, backend: &RecordingBackend) -> Outcome {
        // What this breaks may be told to a client sooner than this goes on.
        let start = Instant::now();
        refuse(self.scene, backend)?;
        self.kills.lock().push(Kill { start, end: Instant::now() });
        Ok(())
    }

    /// It listens again, and is well.
    ///
    /// # Errors
    ///
    /// Our own.
    pub fn revive(&self, backend: &RecordingBackend) -> Outcome {
        self.ledger.set(backend, Mood::Well);
        listen(self.scene, backend)
    }

    /// Puts a file in the place of the program's: the next version, without one backend of
    /// `web` or with all. Says which backend shows it.
    ///
    /// # Errors
    ///
    /// Our own.
    pub fn reload(&self, without: Option<usize>) -> Result<&RecordingBackend, Finding> {
        let version = self.version.fetch_add(1, Relaxed) + 1;
        let file = self.pools.file((self.running.listen, self.admin), version, without);
        self.replace(&file.text())?;
        let signs = &self.pools.sign.backends;
        Ok(&signs[version % signs.len()])
    }

    /// Puts the file that is there with a line more in its own place.
    ///
    /// # Errors
    ///
    /// Our own.
    pub fn breaks(&self, line: &str) -> Outcome {
        let version = self.version.load(Relaxed) + 1;
        let file = self.pools.file((self.running.listen, self.admin), version, None);
        self.replace(&file.line(line).text())
    }

    fn replace(&self, text: &str) -> Outcome {
        let beside = self.config.with_extension("new");
        let replaced =
            std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.config));
        replaced.map_err(|error| self.scene.our_error("the file could not be changed", &error))
    }

    /// Waits until something is so; whether it was in this time.
    pub async fn until(&self, time: Duration, so: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + time;
        while !so() {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Waits until so many more GETs and so many more POSTs were served; whether they were.
    pub async fn serves(&self, more: usize) -> bool {
        let now = || self.served.each_ref().map(|count| count.load(Relaxed));
        let before = now();
        let enough = || now().iter().zip(before).all(|(now, before)| *now >= before + more);
        self.until(SERVED, enough).await
    }

    /// Waits until this backend, which is well again, serves again; a diagnosis with this id if
    /// it does not.
    ///
    /// # Errors
    ///
    /// It does not.
    pub async fn returns(&self, backend: &RecordingBackend, id: &'static str) -> Outcome {
        let before = self.ledger.served(backend);
        if self.until(RETURNS, || self.ledger.served(backend) > before).await {
            return Ok(());
        }
        let (_, phase) = self.phase();
        Err(self
            .found(id)
            .compared(format!("requests at {}", backend.name()), "none")
            .with("backend", backend.name())
            .with("during", phase.words())
            .with("seconds", RETURNS.as_secs())
            .timed()
            .fail())
    }

    /// Waits until something is so in the log of the backends; whether it was in this time.
    /// It is asked now and then, and not at each entry, of which there are thousands.
    pub async fn logged(&self, time: Duration, so: impl Fn(&Log) -> bool) -> bool {
        self.until(time, || self.scene.recorder.read(&so)).await
    }

    /// Waits until backends have received all of these, or for a second.
    pub async fn received(&self, targets: &HashSet<String>) {
        let there = |log: &Log| {
            let of_these = log.requests().filter(|one| targets.contains(&one.target));
            of_these.map(|one| &one.target).collect::<HashSet<_>>().len() == targets.len()
        };
        self.logged(Duration::from_secs(1), there).await;
    }

    /// Notes that the client of this request has left.
    pub fn leaves(&self, target: String, how: &'static str) {
        let came = |log: &Log| log.requests().any(|one| one.target == target);
        let received = self.scene.recorder.read(came);
        self.left.lock().push(Left { target, how, received });
    }

    /// A diagnosis, with how to come by the same.
    pub fn found(&self, id: &'static str) -> Diagnosis {
        Diagnosis::new(id).repeat(by_hand())
    }
}

/// The same program with the lab's backends, to be hurt by hand.
fn by_hand() -> Vec<String> {
    let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let (web, api) = (vec![lab(6190), lab(6191)], vec![lab(6190)]);
    let names = ["web", "api", "pair", "stalled", "sign"];
    let addresses = [web, api.clone(), api.clone(), api.clone(), api];
    let file = file((lab(6188), lab(6189)), names, addresses, Duration::from_millis(500));
    vec![
        "pingora-lab backends".to_owned(),
        file.command("lab.toml"),
        format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {}", super::super::ID),
        "pingora-lab probe --count 400 http://127.0.0.1:6188/anything/web".to_owned(),
        format!(
            "curl --max-time 0.2 -H 'Host: {HOST}' http://127.0.0.1:6188/delay/3; curl -s 127.0.0.1:6189/metrics"
        ),
    ]
}

/// The file with these pools.
fn file(
    (listen, admin): (SocketAddr, SocketAddr),
    [web, api, pair, stalled, sign]: [&str; 5],
    [webs, apis, pairs, stalls, signs]: [Vec<SocketAddr>; 5],
    read: Duration,
) -> ConfigFile {
    let milliseconds = |time: Duration| text(format!("{}ms", time.as_millis()));
    let breaker = || {
        [
            ("consecutive_failures", Value::from(i64::try_from(FAILURES).unwrap_or(1))),
            ("open_for", milliseconds(OPEN_FOR)),
            ("statuses", Value::Array(vec![Value::from(500)])),
        ]
    };
    let prefix = |name: &str| format!("/anything/{name}");
    ConfigFile::new()
        .listener(listen)
        .table("[admin]", [("address", text(admin))])
        .table("[rate_limit.plenty]", [("requests", Value::from(50_000))])
        .pool(web, Some(INTERVAL), webs)
        .table("[pool.timeouts]", [("read", milliseconds(read)), ("total", milliseconds(TOTAL))])
        .table("[pool.circuit_breaker]", breaker())
        .pool(api, Some(INTERVAL), apis)
        .table("[pool.circuit_breaker]", breaker())
        .pool(pair, Some(INTERVAL), pairs)
        .table("[pool.circuit_breaker]", breaker())
        .pool(stalled, Some(INTERVAL), stalls)
        .table("[pool.timeouts]", [("read", milliseconds(read))])
        .table("[pool.circuit_breaker]", breaker())
        .pool(sign, Some(INTERVAL), signs)
        .route(&[], Some(&prefix(web)), web)
        .key("rate_limit", Value::Array(vec![text("plenty")]))
        .route(&[], Some(&prefix(api)), api)
        .route(&[HOST], None, api)
        .route(&[], Some(&prefix(pair)), pair)
        .route(&[], Some(&prefix(stalled)), stalled)
        .route(&[], Some(&prefix(sign)), sign)
}
