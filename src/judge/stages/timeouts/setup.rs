//! Pools with time limits, the program in front of them, and requests that are to be ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::{self, Either};

use super::ID;
use crate::backends::recording::{Act, Gate, Log, RecordingBackend, Reply};
use crate::judge::client::{Cut, Trouble};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, at_once, echo};

/// So long that no check sees the end of it.
pub const LONG: Duration = Duration::from_secs(20);

/// How much later than its limit an answer may come.
pub const LATE: Duration = Duration::from_millis(400);

/// Timers have steps: how much sooner it may come.
pub const EARLY: Duration = Duration::from_millis(30);

/// How long a client waits for what has a limit, behind the limit.
const PATIENCE: Duration = Duration::from_millis(1300);

/// How much later than its answer a request may be in the log.
const LAG: Duration = Duration::from_secs(1);

/// How long requests that are to be at a backend at the same time are waited for.
const TOGETHER: Duration = Duration::from_millis(300);

/// The time limits of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two pieces of an answer.
    pub read: Duration,
    /// For the head of an answer.
    pub total: Duration,
}

/// Pools, each with its limits.
pub struct Setup<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// In the order in which they were asked for.
    pub pools: Vec<Pool>,
    /// When the last of them was sent its first request.
    pub last_asked: Instant,
}

/// A pool and the paths that come to it.
pub struct Pool {
    name: String,
    prefix: String,
    /// Its backends.
    pub backends: Vec<RecordingBackend>,
    /// Its limits.
    pub limits: Limits,
}

/// The limit that a request runs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// That of a pause.
    Read,
    /// That of the whole.
    Total,
}

/// A request, what became of it, and after how long.
pub struct Waited {
    /// What was sent, received and answered.
    pub tried: Tried,
    /// From the moment it was sent.
    pub took: Duration,
}

// === impl Setup ===

impl<'a> Setup<'a> {
    /// Starts it, with so many backends and these limits for each pool, and sends a request to
    /// each. The backends answer each request with its target.
    ///
    /// # Errors
    ///
    /// Why it does not listen, or does not answer.
    pub async fn start(scene: &'a Scene, pools: &[(usize, Limits)]) -> Result<Self, Finding> {
        let pool = |(count, limits): &(usize, Limits)| -> Result<Pool, Finding> {
            let name = scene.draw.word();
            let backends = scene.backends_named(&name, *count)?;
            echo(&backends);
            scene.plan(format!("{name} with {count} backends, {limits:?}"));
            Ok(Pool { prefix: format!("/anything/{name}"), name, backends, limits: *limits })
        };
        let pools = pools.iter().map(pool).collect::<Result<Vec<_>, _>>()?;
        let started = scene.start_configured(&[], &[], &|listen| file(&pools, listen)).await;
        let running = started.map_err(|finding| match finding.diagnosis().id {
            "good-file-refused" => finding.map(|found| found.renamed("timeouts-not-known")),
            _ => finding,
        })?;
        let mut setup = Self { scene, running, pools, last_asked: Instant::now() };
        // A program's first request may take longer than any other.
        for pool in 0..setup.pools.len() {
            setup.last_asked = Instant::now();
            setup.is_well(pool, "GET").await?;
        }
        Ok(setup)
    }

    /// A target that comes to this pool.
    pub fn target(&self, pool: usize) -> String {
        let draw = &self.scene.draw;
        format!("{}/{}/{}", self.pools[pool].prefix, draw.word(), draw.word())
    }

    /// A request to this pool, with a body where the method usually has one.
    pub fn request(&self, pool: usize, method: &str) -> Own {
        Own::drawn_to(self.scene, &self.running, method, self.target(pool))
    }

    /// Sends it, and waits a little longer than this.
    pub async fn waited(&self, own: Own, limit: Duration) -> Waited {
        let client = self.running.client().patience(limit + PATIENCE);
        let begun = Instant::now();
        let answer = client.send(&own.request).await;
        let took = begun.elapsed();
        // The program may have given up sooner than our backend came to read it.
        let there =
            |log: &Log| log.requests().any(|one| one.target == own.request.target).then_some(());
        self.scene.recorder.wait_for(Instant::now() + LAG, there).await;
        Waited { tried: own.with_answer(self.scene, answer).await, took }
    }

    /// Sends a request that the pool's backend answers at once.
    ///
    /// # Errors
    ///
    /// It was not answered so.
    pub async fn is_well(&self, pool: usize, method: &str) -> Outcome {
        let tried = self.request(pool, method).send(self.scene, self.running.client()).await;
        if tried.served() {
            return Ok(());
        }
        Err(tried.finding(self.scene, &self.running).await)
    }

    /// Leaves so many connections to a pool's backends that may be used again, if the program
    /// keeps any.
    ///
    /// # Errors
    ///
    /// A request was not answered.
    pub async fn warms(&self, pool: usize, connections: usize) -> Outcome {
        let gate = Gate::for_all_of(connections);
        for backend in &self.pools[pool].backends {
            let hold = gate.clone();
            backend.set_to(move |received| {
                Act::Hold(hold.clone(), Reply::ok(received.target.clone()))
            });
        }
        let requests = (0..connections).map(|_| self.request(pool, "GET")).collect();
        // Nothing is judged by it that they are not all there at the same time.
        let open = async {
            tokio::time::sleep(TOGETHER).await;
            gate.open();
        };
        let answered = at_once(self.scene, &self.running, requests);
        let all = match future::select(Box::pin(answered), Box::pin(open)).await {
            Either::Left((all, _)) => all,
            Either::Right(((), answered)) => answered.await,
        };
        for tried in all {
            if !tried.served() {
                return Err(tried.finding(self.scene, &self.running).await);
            }
        }
        Ok(())
    }

    /// The request was ended with 504, neither sooner nor later than its limit says.
    ///
    /// # Errors
    ///
    /// How it was not.
    pub async fn is_ended(&self, pool: usize, limit: Limit, waited: &Waited) -> Outcome {
        let Waited { tried, took } = waited;
        let time = self.pools[pool].limits.of(limit);
        let received = tried.exchange.received.len();
        let over = |trouble: &Trouble| {
            matches!(
                trouble,
                Trouble::NoAnswer { .. }
                    | Trouble::Incomplete { because: Cut::PatienceOver(_), .. }
            )
        };
        let id = match &tried.exchange.answer {
            _ if received == 0 => return Err(tried.finding(self.scene, &self.running).await),
            _ if *took > time + LATE && received > 1 => "sent-again-after-timeout",
            Ok(answer) if answer.status == 504 && received > 1 => "sent-again-after-timeout",
            Ok(answer) if answer.status == 504 => match *took {
                took if took + EARLY < time => "ended-too-soon",
                took if took > time + LATE => "ended-too-late",
                _ => return Ok(()),
            },
            Ok(answer) if answer.status >= 500 && *took <= time + LATE => "timeout-not-504",
            Ok(answer) if answer.status >= 500 => "ended-too-late",
            Err(trouble) if over(trouble) && self.running.ended().await.is_none() => match limit {
                Limit::Read => "no-read-limit",
                Limit::Total => "no-total-limit",
            },
            _ => return Err(tried.finding(self.scene, &self.running).await),
        };
        let found = self.found(id, pool, limit, waited);
        let in_time = *took <= time + LATE;
        let timed = !(id == "timeout-not-504" || (id == "sent-again-after-timeout" && in_time));
        Err(if timed { found.timed().fail() } else { found.fail() })
    }

    /// A diagnosis of a request that was to run into this limit.
    pub fn found(&self, id: &'static str, pool: usize, limit: Limit, waited: &Waited) -> Diagnosis {
        let Waited { tried, took } = waited;
        let Pool { name, limits, .. } = &self.pools[pool];
        let time = limits.of(limit).as_millis();
        let seen = match &tried.exchange.answer {
            Ok(answer) => answer.status.to_string(),
            Err(trouble) => trouble.to_string(),
        };
        tried
            .exchange
            .found(self.scene, id)
            .compared(
                format!("504 after {time} ms"),
                format!("{seen}, after {} ms", took.as_millis()),
            )
            .with("pool", &**name)
            .with("key", limit.key())
            .with("limit_ms", milliseconds(limits.of(limit)))
            .with("took_ms", milliseconds(*took))
            .with("seen", seen)
            .with("times", tried.exchange.received.len())
            .repeat(match id {
                "post-sent-again" | "sent-again-after-timeout" if limit == Limit::Read => {
                    self.sent_again_by_hand(pool, &tried.exchange.request.method)
                }
                _ => self.by_hand(pool, limit),
            })
    }

    /// The limits of both pools by hand.
    pub fn both_by_hand(&self) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let host = |pool: &Pool| format!("{}.test", pool.name);
        let file = self.pools.iter().fold(ConfigFile::new().listener(lab(6188)), |file, pool| {
            file.table("[[pool]]", [("name", text(&pool.name))])
                .table("[pool.timeouts]", pool.limits.keys())
                .table("[[pool.backend]]", [("address", text(lab(6190)))])
        });
        let file =
            self.pools.iter().fold(file, |file, pool| file.route(&[&host(pool)], None, &pool.name));
        let hosts: Vec<_> = self.pools.iter().map(host).collect();
        vec![
            "pingora-lab backends".to_owned(),
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            format!(
                "for host in {}; do curl -s -o /dev/null -w '%{{http_code}} after %{{time_total}} s\\n' -H \"Host: $host\" 127.0.0.1:6188/delay/5; done",
                hosts.join(" ")
            ),
        ]
    }

    /// Two backends that show what comes to them, and do not answer.
    fn sent_again_by_hand(&self, pool: usize, method: &str) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let file = ConfigFile::new()
            .listener(lab(6188))
            .pool("web", Some(LONG), [6195, 6196].map(lab))
            .table("[pool.timeouts]", self.pools[pool].limits.keys())
            .route(&[], None, "web");
        let flags = if method == "GET" { "-i" } else { "-i --data hello" };
        vec![
            "nc -lk 127.0.0.1 6195".to_owned(),
            "nc -lk 127.0.0.1 6196".to_owned(),
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            format!("curl {flags} http://127.0.0.1:6188/post"),
        ]
    }

    /// The same by hand: a backend that does not answer, or one whose head has no end.
    pub fn by_hand(&self, pool: usize, limit: Limit) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let limits = self.pools[pool].limits;
        let (backend, port, target) = match limit {
            Limit::Read => ("pingora-lab backends", 6190, "/delay/5"),
            Limit::Total => (
                "while true; do (printf 'HTTP/1.1 200 OK\\r\\n'; while sleep 0.1; do printf 'x: y\\r\\n'; done) | nc -l 127.0.0.1 6195; done",
                6195,
                "/get",
            ),
        };
        let file = ConfigFile::new().listener(lab(6188)).table("[[pool]]", [("name", text("web"))]);
        let file = file.table("[pool.timeouts]", limits.keys());
        let file = file.table("[[pool.backend]]", [("address", text(lab(port)))]);
        vec![
            backend.to_owned(),
            file.route(&[], None, "web").command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            format!(
                "curl -s -o /dev/null -w '%{{http_code}} after %{{time_total}} s\\n' 127.0.0.1:6188{target}"
            ),
        ]
    }
}

// === impl Limits ===

impl Limits {
    /// Limits that nothing runs into.
    pub const NONE: Self = Self { read: LONG, total: LONG };

    /// One of them.
    pub fn of(&self, limit: Limit) -> Duration {
        match limit {
            Limit::Read => self.read,
            Limit::Total => self.total,
        }
    }

    fn keys(&self) -> [(&'static str, toml::Value); 2] {
        [Limit::Read, Limit::Total]
            .map(|limit| (limit.key(), text(format!("{}ms", self.of(limit).as_millis()))))
    }
}

// === impl Limit ===

impl Limit {
    fn key(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Total => "total",
        }
    }
}

/// As a fact.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time between these, in milliseconds.
pub fn drawn(scene: &Scene, milliseconds: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(scene.draw.number(milliseconds))
}

/// The file. Health checks are so seldom that none comes while something is counted.
fn file(pools: &[Pool], listen: SocketAddr) -> ConfigFile {
    let file = pools.iter().fold(ConfigFile::new().listener(listen), |file, pool| {
        file.pool(&pool.name, Some(LONG), pool.backends.iter().map(RecordingBackend::address))
            .table("[pool.timeouts]", pool.limits.keys())
    });
    pools.iter().fold(file, |file, pool| file.route(&[], Some(&pool.prefix), &pool.name))
}
