//! A program with limits, and clients at many addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::quota::{Excess, Quota, Way};
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::{Answer, Request};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often backends are looked at: never, as far as these checks go.
const INTERVAL: Duration = Duration::from_secs(30);

/// After this time somebody should have been refused, unless the machine is slow.
const LONG: Duration = Duration::from_secs(3);

/// Of so many of the last it is asked whether they are held back. So many without a limit are
/// compared with them, and by so much longer they take at least.
const LAST: usize = 3;
const FREE: u64 = 8;
const AT_LEAST: Duration = Duration::from_millis(20);

/// A program with two limits, one of which fills slowly, and routes with the one, the
/// other, both and none.
pub struct Limited<'a> {
    /// The scene it is part of.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// The limit of whatever no other route fits.
    pub quota: Quota,
    /// The limit that fills slowly.
    pub slow_quota: Quota,
    /// The beginning of the paths that have it.
    pub slow: String,
    /// The beginning of the paths that have it by another route.
    pub again: String,
    /// The beginning of the paths that have both, the slow one behind the other.
    pub both: String,
    /// The beginning of the paths that have none.
    pub free: String,
    /// What is behind it.
    pub backends: Vec<RecordingBackend>,
    addresses: Addresses,
    word: String,
    sent: AtomicU32,
}

/// Client addresses, one after the other.
#[derive(Debug)]
pub struct Addresses(AtomicU32);

/// A request that was answered.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Its answer.
    pub answer: Answer,
    /// When it was on its way.
    pub way: Way,
}

// === impl Limited ===

impl<'a> Limited<'a> {
    /// Starts it with limits that nobody has written into it.
    ///
    /// # Errors
    ///
    /// Why it does not listen, or does not forward.
    pub async fn start(scene: &'a Scene) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let quota = Quota::even(draw.number(8..13));
        // Hardly anything comes in while the burst is asked for, so that it is seen to the
        // request; and it is more than the other limit has.
        let slow_quota = Quota { requests: 1, burst: draw.number(18..26) };
        let word = || draw.word();
        let (policies, pool, said) = ([word(), word()], word(), word());
        let [slow, again, both, free] = [(); 4].map(|()| format!("/{}", word()));
        let addresses = Addresses::drawn(scene);
        scene.plan(format!(
            "{} requests a second by {}; {}, and {} at once, by {} for {slow} and {again}; both for \
             {both}, none for {free}",
            quota.requests, policies[0], slow_quota.requests, slow_quota.burst, policies[1],
        ));
        let backends = scene.backends(2)?;
        for backend in &backends {
            backend.always(Act::Answer(Reply::ok(said.clone())));
        }
        let write = |listen| {
            let of = backends.iter().map(RecordingBackend::address);
            let file = ConfigFile::new().listener(listen);
            let file = limit(file, &policies[0], quota, None);
            limit(file, &policies[1], slow_quota, None)
                .pool(&pool, Some(INTERVAL), of)
                .route(&[], None, &pool)
                .key("rate_limit", vec![text(&policies[0])])
                .route(&[], Some(&slow), &pool)
                .key("rate_limit", vec![text(&policies[1])])
                .route(&[], Some(&both), &pool)
                .key("rate_limit", vec![text(&policies[0]), text(&policies[1])])
                .route(&[], Some(&again), &pool)
                .key("rate_limit", vec![text(&policies[1])])
                .route(&[], Some(&free), &pool)
        };
        let running = scene.start_configured(&backends, &[], &write).await?;
        let limited = Self {
            scene,
            running,
            quota,
            slow_quota,
            slow,
            again,
            both,
            free,
            backends,
            addresses,
            word: word(),
            sent: AtomicU32::new(0),
        };
        limited.forwards().await?;
        Ok(limited)
    }

    /// Where there is no limit, somebody who has nothing to do with the rest is served.
    async fn forwards(&self) -> Outcome {
        let client = self.running.client_from(self.address());
        let exchange = Exchange::of(self.scene, client, self.get_below(&self.free)).await;
        exchange.through(self.scene, &self.running).await?;
        Ok(())
    }

    /// A client address that nobody else has here.
    pub fn address(&self) -> IpAddr {
        self.addresses.next()
    }

    /// A GET like no other.
    pub fn get(&self) -> Request {
        self.get_below("/anything")
    }

    /// A GET like no other whose path begins so.
    pub fn get_below(&self, prefix: &str) -> Request {
        let number = self.sent.fetch_add(1, Relaxed);
        self.running.request("GET", format!("{prefix}/{}/{number}", self.word))
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Errors
    ///
    /// It was not answered.
    pub async fn ask(&self, from: IpAddr, request: Request) -> Result<Asked, Finding> {
        let sent = Instant::now();
        match self.running.client_from(from).send(&request).await {
            Ok(answer) => {
                let way = Way { sent, answered: Instant::now() };
                Ok(Asked { request, answer, way })
            }
            Err(trouble) => Err(self.running.trouble(&trouble, &request).await),
        }
    }

    /// Sends so many, one after the other, as quickly as they are answered.
    ///
    /// # Errors
    ///
    /// One was not answered.
    pub async fn row(
        &self,
        from: IpAddr,
        count: u64,
        request: impl Fn() -> Request,
    ) -> Result<Vec<Asked>, Finding> {
        let mut asked = Vec::new();
        for _ in 0..count {
            asked.push(self.ask(from, request()).await?);
        }
        Ok(asked)
    }

    /// Sends so many at once.
    ///
    /// # Errors
    ///
    /// One was not answered.
    pub async fn at_once(
        &self,
        from: IpAddr,
        count: u64,
        request: impl Fn() -> Request,
    ) -> Result<Vec<Asked>, Finding> {
        try_join_all((0..count).map(|_| self.ask(from, request()))).await
    }

    /// Sends requests, one after the other, until one is refused, which is the last.
    ///
    /// # Errors
    ///
    /// None is, and that is too many, or they are held back. On a machine where they come no more
    /// quickly than they may it goes on until the time of the check is over.
    pub async fn drained(
        &self,
        from: IpAddr,
        quota: Quota,
        request: impl Fn() -> Request,
    ) -> Result<Vec<Asked>, Finding> {
        let (mut asked, mut looked) = (Vec::new(), Instant::now());
        loop {
            asked.push(self.ask(from, request()).await?);
            if looked.elapsed() > LONG {
                self.not_held_back(quota, &asked, from, &request).await?;
                looked = Instant::now();
            }
            if asked.last().is_some_and(|last| !last.passed()) {
                return Ok(asked);
            }
            if asked.len() as u64 >= quota.burst * 2 && quota.excess(&ways(&asked)).is_some() {
                return Err(self.not_limited(quota, asked.len()).fail());
            }
        }
    }

    /// These were let through, all of them, and no more of them than may be. Are they held back
    /// instead of refused?
    ///
    /// # Errors
    ///
    /// They take much longer than those without a limit.
    pub async fn not_held_back(
        &self,
        quota: Quota,
        asked: &[Asked],
        from: IpAddr,
        request: &impl Fn() -> Request,
    ) -> Outcome {
        let free = self.row(self.address(), FREE, || self.get_below(&self.free)).await?;
        // The quickest of the last: whatever a busy machine does to one, it does not to all.
        let held = times(&asked[asked.len().saturating_sub(LAST)..]).first().copied();
        let held = held.unwrap_or_default();
        let free = times(&free)[FREE as usize / 2];
        let long = |held: Duration| held >= free * 4 + AT_LEAST;
        if !long(held) {
            return Ok(());
        }
        // That may have been the machine. Whoever holds back does so again.
        let again = self.row(from, LAST as u64, request).await?;
        if !again.iter().all(Asked::passed) || !long(times(&again)[0]) {
            return Ok(());
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let found = self.not_limited(quota, asked.len()).renamed("held-back");
        Err(found.with("held_ms", ms(held)).with("free_ms", ms(free)).fail())
    }

    /// All of so many were let through.
    pub fn not_limited(&self, quota: Quota, sent: usize) -> Diagnosis {
        self.found("not-limited", quota)
            .with("sent", sent)
            .compared(format!("about {} of {sent}", quota.burst), "all")
    }

    /// A diagnosis about a limit.
    pub fn found(&self, id: &'static str, quota: Quota) -> Diagnosis {
        Diagnosis::new(id)
            .with("requests", quota.requests)
            .with("burst", quota.burst)
            .repeat(by_hand(self.scene.stage(), id, quota))
    }

    /// Whether these requests are no more than may be let through.
    ///
    /// # Errors
    ///
    /// They are, which is called so.
    pub fn within<'b>(
        &self,
        id: &'static str,
        quota: Quota,
        asked: impl IntoIterator<Item = &'b Asked>,
    ) -> Outcome {
        match quota.excess(&ways(asked)) {
            None => Ok(()),
            Some(excess) => Err(with_excess(self.found(id, quota), excess).fail()),
        }
    }
}

/// With the time in which there was too much.
pub fn with_excess(found: Diagnosis, excess: Excess) -> Diagnosis {
    let ms = u64::try_from(excess.took.as_millis()).unwrap_or(u64::MAX);
    found
        .compared(format!("at most {}", excess.most), excess.passed)
        .with("passed", excess.passed)
        .with("most", excess.most)
        .with("ms", ms)
}

/// A file with a limit of this name more; of so many clients something may be remembered.
pub fn limit(file: ConfigFile, name: &str, quota: Quota, clients: Option<u32>) -> ConfigFile {
    let number = |number: u64| toml::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let burst = (quota.burst != quota.requests).then(|| ("burst", number(quota.burst)));
    let clients = clients.map(|clients| ("clients", number(clients.into())));
    let keys = [("requests", number(quota.requests))].into_iter().chain(burst).chain(clients);
    file.table(&format!("[rate_limit.{name}]"), keys)
}

/// Commands that send more requests than may come, in the way in which this is found.
pub fn by_hand(stage: &str, id: &str, quota: Quota) -> Vec<String> {
    const SAYS: &str = "-H \"X-Forwarded-For: 192.0.2.$i\" -H \"X-Real-IP: 192.0.2.$i\" \
        -H \"Forwarded: for=192.0.2.$i\" -H \"X-Client-IP: 192.0.2.$i\" ";
    let lab = |port: u16| ([127, 0, 0, 1], port).into();
    let file = limit(ConfigFile::new().listener(lab(6188)), "clients", quota, None);
    let file = limit(file, "others", quota, None).pool("web", None, [lab(6190)]);
    let limits = |names: &[&str]| names.iter().map(text).collect::<Vec<_>>();
    let below = |name: &str| format!("/anything/{name}");
    let file = file
        .route(&[], None, "web")
        .key("rate_limit", limits(&["clients"]))
        .route(&[], Some(&below("again")), "web")
        .key("rate_limit", limits(&["clients"]))
        .route(&[], Some(&below("others")), "web")
        .key("rate_limit", limits(&["others"]))
        .route(&[], Some(&below("both")), "web")
        .key("rate_limit", limits(&["others", "clients"]))
        .route(&[], Some(&below("free")), "web");
    let row = |count: u64, flags: &str, path: &str| {
        format!(
            "for i in $(seq {count}); do curl -s -o /dev/null -w '%{{http_code}} ' \
             {flags}http://127.0.0.1:6188{path}; done; echo"
        )
    };
    let burst = quota.burst;
    let all = row(burst * 3, "", "/anything/$i");
    let some = |flags: &str, path: &str| row(8, flags, path);
    let then = match id {
        "window-doubles" => {
            let one = row(burst, "", "/anything/$i");
            format!("{}; sleep 0.85; {one}; sleep 0.15; {one}", row(1, "", "/anything/$i"))
        }
        "refusals-count" => {
            row(burst * 10, "", "/anything/$i").replace("; done", "; sleep 0.03; done")
        }
        "never-recovers" | "recovers-in-part" => {
            format!("{all}; sleep 3; {}", row(burst, "", "/anything/$i"))
        }
        "refused-otherwise" | "retry-after-missing" | "retry-after-untrue" => {
            format!("{all}; curl -i http://127.0.0.1:6188/anything")
        }
        "others-pay" | "forgotten-too-soon" => {
            let others = row(30, "--interface 127.0.1.$i ", "/anything/$i");
            format!("{all}; {others}; {}", some("", "/anything/$i"))
        }
        "header-trusted" => format!("{all}; {}", some(SAYS, "/anything/$i")),
        "named-pays" => {
            let named = SAYS.replace("192.0.2.$i", "127.0.0.2");
            let spent = row(burst * 3, &named, "/anything/$i");
            format!("{spent}; {}", some("--interface 127.0.0.2 ", "/anything/$i"))
        }
        "limits-every-route" => row(burst * 3, "", "/anything/free/$i"),
        "limits-share" => format!("{all}; {}", some("", "/anything/others/$i")),
        "counts-by-route" => format!("{all}; {}", some("", "/anything/again/$i")),
        "one-limit-asked" => format!("{all}; {}", some("", "/anything/both/$i")),
        "counted-too-late" => format!(
            "pingora-lab probe --no-keepalive --count {0} --concurrency {0} \
             http://127.0.0.1:6188/delay/1",
            burst * 2
        ),
        _ => all,
    };
    // It writes a line for each request that has come to it.
    let (backend, apart) = match id {
        "backend-asked-all-the-same" => {
            ("python3 -m http.server 6190 --bind 127.0.0.1", "LAB_BACKENDS=127.0.0.1:6199 ")
        }
        _ => ("pingora-lab backends", ""),
    };
    vec![
        backend.to_owned(),
        file.command("lab.toml"),
        format!("{apart}LAB_CONFIG=$PWD/lab.toml pingora-lab run {stage}"),
        then,
    ]
}

// === impl Addresses ===

impl Addresses {
    /// From somewhere in 127.0.0.0/8 on.
    pub fn drawn(scene: &Scene) -> Self {
        let first = scene.draw.number(0x7f01_0000..0x7ff0_0000);
        Self(AtomicU32::new(u32::try_from(first).unwrap_or(0x7f01_0000)))
    }

    /// The next.
    pub fn next(&self) -> IpAddr {
        Ipv4Addr::from(self.0.fetch_add(1, Relaxed)).into()
    }
}

// === impl Asked ===

impl Asked {
    /// Whether it was let through to a backend, which answers 200.
    pub fn passed(&self) -> bool {
        self.answer.status == 200
    }
}

/// How long each took, in order of time.
fn times(asked: &[Asked]) -> Vec<Duration> {
    let mut all: Vec<_> = asked.iter().map(|one| one.way.answered - one.way.sent).collect();
    all.sort_unstable();
    all
}

/// The ways of those that were let through.
pub fn ways<'a>(asked: impl IntoIterator<Item = &'a Asked>) -> Vec<Way> {
    asked.into_iter().filter(|one| one.passed()).map(|one| one.way).collect()
}

/// How many were let through.
pub fn passed(asked: &[Asked]) -> u64 {
    asked.iter().filter(|one| one.passed()).count() as u64
}
