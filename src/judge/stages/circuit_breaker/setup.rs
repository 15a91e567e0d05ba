//! Two pools with breakers, the program in front of them, and a backend that fails.

use std::net::SocketAddr;
use std::time::Duration;

use toml::Value;

use super::ID;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::Request;
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many backends each pool has.
pub const BACKENDS: usize = 3;

/// So long that nothing is half-open before a check is over.
pub const LONG: Duration = Duration::from_secs(60);

/// The statuses that count as failures.
const STATUSES: [u16; 3] = [500, 503, 504];

/// How often the backends are looked at: they are well, whatever they answer.
const INTERVAL: Duration = Duration::from_secs(20);

/// Two pools, and how their breakers are told to be.
pub struct Setup<'a> {
    /// Of this check.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    pools: [Pool; 2],
    /// So many failures in a row open a breaker of the first pool.
    pub failures: usize,
    /// How long it stays open.
    pub open_for: Duration,
}

struct Pool {
    name: String,
    prefix: String,
    backends: Vec<RecordingBackend>,
    /// The place of the one that fails.
    bad: usize,
}

/// How a backend fails.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It answers with this status.
    Status(u16),
    /// It resets the connection instead of an answer.
    Reset,
}

/// A request, and the places of the backends that received it.
pub struct Sent {
    /// What was sent, received and answered.
    pub exchange: Exchange,
    /// Usually one.
    pub places: Vec<usize>,
}

// === impl Setup ===

impl<'a> Setup<'a> {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(scene: &'a Scene, open_for: Duration) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let failures = usize::try_from(draw.number(3..7)).unwrap_or(3);
        let pool = |bad| -> Result<Pool, Finding> {
            let name = draw.word();
            let backends = scene.backends_named(&name, BACKENDS)?;
            Ok(Pool { prefix: format!("/anything/{name}"), name, backends, bad })
        };
        // At different places: a breaker may be known by its place in a list.
        let mut places: Vec<_> = (0..BACKENDS).collect();
        draw.shuffle(&mut places);
        let pools = [pool(places[0])?, pool(places[1])?];
        scene.plan(format!("{failures} failures in a row; open for {open_for:?}"));
        let file = |listen| {
            let addresses = |pool: &Pool| -> Vec<_> {
                pool.backends.iter().map(RecordingBackend::address).collect()
            };
            file(&pools, listen, failures, open_for, addresses)
        };
        let started = scene.start_configured(&[], &[], &file).await;
        let running = started.map_err(|finding| match finding.diagnosis().id {
            "good-file-refused" => finding.map(|found| found.renamed("breaker-not-known")),
            _ => finding,
        })?;
        let setup = Self { scene, running, pools, failures, open_for };
        for pool in 0..setup.pools.len() {
            setup.recovers(pool);
        }
        Ok(setup)
    }

    /// The one that fails, of a pool.
    pub fn bad(&self, pool: usize) -> &RecordingBackend {
        let Pool { backends, bad, .. } = &self.pools[pool];
        &backends[*bad]
    }

    /// The place of the one that fails.
    pub fn bad_place(&self, pool: usize) -> usize {
        self.pools[pool].bad
    }

    /// So many failures in a row open a breaker of this pool: no two are the same, so that no
    /// number of a program's own fits both.
    pub fn failures_of(&self, pool: usize) -> usize {
        self.failures + pool
    }

    /// A status that counts as a failure.
    pub fn status(&self) -> u16 {
        *self.scene.draw.pick(&STATUSES)
    }

    /// From now on it fails.
    pub fn fails(&self, pool: usize, fault: Fault) {
        self.scene.plan(format!("{} fails: {fault:?}", self.bad(pool).name()));
        self.bad(pool).always(match fault {
            Fault::Status(status) => Act::Answer(Reply::new(status)),
            Fault::Reset => Act::ResetBeforeAnswer,
        });
    }

    /// From now on all are well.
    pub fn recovers(&self, pool: usize) {
        for backend in &self.pools[pool].backends {
            backend.always(Act::Answer(Reply::ok("well")));
        }
    }

    /// How many requests the one that fails has received.
    pub fn received(&self, pool: usize) -> usize {
        let name = self.bad(pool).name();
        self.scene.recorder.read(|log| log.requests_to(name).count())
    }

    /// A request to a pool. It may not be sent twice, so it is a POST.
    pub fn request(&self, pool: usize) -> Request {
        let draw = &self.scene.draw;
        let target = format!("{}/{}/{}", self.pools[pool].prefix, draw.word(), draw.word());
        self.running.request("POST", target).body(draw.word().into_bytes())
    }

    /// Sends one to a pool.
    pub async fn send(&self, pool: usize) -> Sent {
        let request = self.request(pool);
        self.sent(pool, Exchange::of(self.scene, self.running.client(), request).await)
    }

    /// The same of a request for which nothing is drawn: of such there are more or less,
    /// as time goes.
    pub async fn send_unplanned(&self, pool: usize) -> Sent {
        let number = self.scene.recorder.read(|log| log.entries().len());
        let target = format!("{}/again/{number}", self.pools[pool].prefix);
        let request = self.running.request("POST", target).body("again");
        self.sent(pool, Exchange::of(self.scene, self.running.client(), request).await)
    }

    /// With the places of those that received it.
    pub fn sent(&self, pool: usize, exchange: Exchange) -> Sent {
        let place =
            |name: &str| self.pools[pool].backends.iter().position(|one| one.name() == name);
        let places = exchange.received.iter().filter_map(|one| place(&one.backend)).collect();
        Sent { exchange, places }
    }

    /// A request that did not meet the bad one was answered 200 by one of the others.
    ///
    /// # Errors
    ///
    /// How it was not.
    pub async fn is_served(&self, pool: usize, sent: &Sent) -> Outcome {
        let Sent { exchange, places } = sent;
        if places.contains(&self.pools[pool].bad) {
            return Ok(());
        }
        let (_, answer) = exchange.through(self.scene, &self.running).await.map_err(|finding| {
            match finding.diagnosis().id {
                "backend-never-tried" => finding.map(|found| {
                    let found = found.renamed("all-cut-off").with("bad", self.bad(pool).name());
                    found.repeat(self.by_hand("all-cut-off", pool))
                }),
                _ => finding,
            }
        })?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(exchange.found(self.scene, "status-changed").compared(200, answer.status).fail())
    }

    /// Lets the bad one fail until its breaker is open.
    ///
    /// # Errors
    ///
    /// It does not open.
    pub async fn open(&self, pool: usize) -> Outcome {
        let before = self.received(pool);
        let failures = self.failures_of(pool);
        self.fails(pool, Fault::Status(self.status()));
        let turns = failures + 4;
        let mut without = 0;
        for _ in 0..BACKENDS * turns {
            let sent = self.send(pool).await;
            self.is_served(pool, &sent).await?;
            without = if sent.places.contains(&self.pools[pool].bad) { 0 } else { without + 1 };
            if self.received(pool) - before >= failures && without >= BACKENDS {
                return Ok(());
            }
        }
        // On a slow machine whoever comes next is the trial. It comes that long behind the last.
        let at: Vec<_> = self.scene.recorder.read(|log| {
            let of_it = log.requests_to(self.bad(pool).name()).skip(before);
            of_it.map(|one| one.at).collect()
        });
        if at.len() > failures && at[failures] >= at[failures - 1] + self.open_for {
            return Ok(());
        }
        let got = at.len();
        Err(self.found("never-opens", pool).compared(failures, got).with("got", got).fail())
    }

    /// A diagnosis about a pool.
    pub fn found(&self, id: &'static str, pool: usize) -> Diagnosis {
        Diagnosis::new(id)
            .with("pool", &*self.pools[pool].name)
            .with("bad", self.bad(pool).name())
            .with("failures", self.failures_of(pool))
            .with("open_ms", u64::try_from(self.open_for.as_millis()).unwrap_or(u64::MAX))
            .repeat(self.by_hand(id, pool))
    }

    /// The same by hand. Of the lab backends httpbin fails if it is asked to, and the others say
    /// 404, which is no failure.
    pub fn by_hand(&self, id: &str, pool: usize) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let failures = self.failures_of(pool);
        let breaks = id == "broken-connections-not-counted";
        let file = ConfigFile::new()
            .listener(lab(6188))
            .pool("web", Some(INTERVAL), [if breaks { 6193 } else { 6190 }, 6191, 6192].map(lab))
            .table("[pool.circuit_breaker]", breaker(failures, self.open_for))
            .route(&[], None, "web");
        let probe = |turns: usize, flags: &str, target: &str| {
            format!(
                "pingora-lab probe --no-keepalive --count {} {flags}http://127.0.0.1:6188{target}",
                BACKENDS * turns
            )
        };
        let fails = probe(failures + 2, "", "/status/503");
        let then = match id {
            "broken-connections-not-counted" => probe(failures + 2, "--data x ", "/post"),
            "counts-client-errors" => probe(failures + 3, "", "/status/404"),
            "success-does-not-reset" => {
                let (ill, well) = (probe(failures - 1, "", "/status/503"), probe(1, "", "/get"));
                format!("for i in 1 2 3; do {ill}; {well}; done")
            }
            "open-lets-through" => {
                format!("{fails}; sleep 2; {}", probe(8, "--concurrency 24 ", "/get"))
            }
            "never-half-open" | "herd-in-half-open" => {
                format!("{fails}; sleep 1; {}", probe(4, "--concurrency 12 ", "/delay/1"))
            }
            "never-closes" => {
                format!("{fails}; sleep 1; {}; {}", probe(4, "", "/get"), probe(4, "", "/get"))
            }
            "trial-does-not-open" | "tried-only-once" => {
                let again = probe(4, "", "/status/503");
                format!("{fails}; sleep 1; {again}; sleep 1; {again}")
            }
            _ => fails,
        };
        let mut commands = vec!["pingora-lab backends".to_owned()];
        if breaks {
            let gone = "while true; do timeout 0.3 nc -l 127.0.0.1 6193 >/dev/null; done";
            commands.push(gone.to_owned());
        }
        commands.extend([
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            then,
        ]);
        commands
    }
}

/// What the file says of a breaker.
fn breaker(failures: usize, open_for: Duration) -> [(&'static str, Value); 3] {
    let statuses = STATUSES.map(|status| Value::from(i64::from(status)));
    [
        ("consecutive_failures", Value::from(i64::try_from(failures).unwrap_or(i64::MAX))),
        ("open_for", text(format!("{}ms", open_for.as_millis()))),
        ("statuses", Value::Array(statuses.to_vec())),
    ]
}

/// The file, with these addresses.
fn file(
    pools: &[Pool; 2],
    listen: SocketAddr,
    failures: usize,
    open_for: Duration,
    addresses: impl Fn(&Pool) -> Vec<SocketAddr>,
) -> ConfigFile {
    let file = ConfigFile::new().listener(listen);
    let file = pools.iter().enumerate().fold(file, |file, (number, pool)| {
        file.pool(&pool.name, Some(INTERVAL), addresses(pool))
            .table("[pool.circuit_breaker]", breaker(failures + number, open_for))
    });
    pools.iter().fold(file, |file, pool| file.route(&[], Some(&pool.prefix), &pool.name))
}
