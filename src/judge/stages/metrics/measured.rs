//! A program that shows its metrics, and what is read there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exposition::{Exposition, Rule};
use super::{ID, REQUESTS};
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::{Answer, Client, Request, Trouble};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// How often backends are looked at: never, as far as these checks go.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long what is counted may lag behind an answer, and one listener behind the other.
const LAG: Duration = Duration::from_secs(2);

/// How many admin ports may be taken by somebody else before the program binds them.
const PORT_TRIES: usize = 3;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A program with an admin listener, in front of a pool.
pub struct Measured<'a> {
    /// The scene it is part of.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// Where its metrics are.
    pub admin: SocketAddr,
    /// What is behind it.
    pub backends: Vec<RecordingBackend>,
    /// The beginning of the paths of which it lets one through, and then none for long.
    pub limited: String,
}

/// How many requests were counted, by backend and class.
pub type Counts = BTreeMap<(String, String), u64>;

// === impl Measured ===

impl<'a> Measured<'a> {
    /// Starts it in front of so many backends.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(scene: &'a Scene, count: usize) -> Result<Self, Finding> {
        let (pool, limit) = (scene.draw.word(), scene.draw.word());
        let limited = format!("/{}", scene.draw.word());
        let backends = scene.backends(count)?;
        scene.plan(format!("{pool} with {count} backends; one request at {limited}"));
        let addresses = || backends.iter().map(RecordingBackend::address);
        for _ in 0..PORT_TRIES {
            let admin = scene.free_address()?;
            let write = |listen| file(listen, admin, &pool, addresses(), (&limit, &limited));
            let running = scene.start_configured(&backends, &[], &write).await?;
            if !taken(&running, admin).await? {
                let measured = Self { scene, running, admin, backends, limited };
                measured.answer_with(&Reply::ok("well"));
                return Ok(measured);
            }
        }
        Err(scene.our_error("no admin port", &"each was taken by somebody else meanwhile"))
    }

    /// What all backends answer from now on.
    pub fn answer_with(&self, reply: &Reply) {
        self.do_always(&Act::Answer(reply.clone()));
    }

    /// What all backends do from now on.
    pub fn do_always(&self, act: &Act) {
        self.backends.iter().for_each(|backend| backend.always(act.clone()));
    }

    /// A request like no other.
    pub fn request(&self, method: &str) -> Request {
        let draw = &self.scene.draw;
        let request = self.running.request(method, format!("{}?{}", draw.path(), draw.word()));
        if method == "POST" { request.body(draw.bytes(20)) } else { request }
    }

    /// Sends a request that no other accompanies.
    ///
    /// # Errors
    ///
    /// It was not answered.
    pub async fn send(&self, request: Request) -> Result<(Exchange, Answer), Finding> {
        let exchange = Exchange::of(self.scene, self.running.client(), request).await;
        match &exchange.answer {
            Ok(answer) => {
                let answer = answer.clone();
                Ok((exchange, answer))
            }
            Err(trouble) => Err(self.running.trouble(trouble, &exchange.request).await),
        }
    }

    /// The backend that the request went to last, as the file names it; `-` for none.
    pub fn backend_of(&self, exchange: &Exchange) -> String {
        let last = exchange.received.last();
        let named = last.and_then(|received| {
            self.backends.iter().find(|backend| backend.name() == &*received.backend)
        });
        named.map_or_else(|| "-".to_owned(), |backend| backend.address().to_string())
    }

    /// Asks for what is counted, as it is now.
    ///
    /// # Errors
    ///
    /// It is not there, or not in the format.
    pub async fn scrape(&self) -> Result<Exposition, Finding> {
        let answer = self.asked_for().await?;
        if answer.status != 200 {
            return Err(self
                .found("metrics-not-found")
                .compared(200, answer.status)
                .with("status", answer.status)
                .fail());
        }
        let kind = answer.values("content-type").join(" | ");
        if !kind.starts_with("text/plain") {
            let expected = "text/plain; version=0.0.4";
            let found = self.found("content-type-wrong").compared(expected, &kind);
            return Err(found.with("content_type", kind).fail());
        }
        Exposition::parse(&answer.text()).map_err(|fault| {
            let id = match fault.rule {
                Rule::Line => "line-not-parsed",
                Rule::Type => "type-line-wrong",
                Rule::Together => "metric-in-pieces",
                Rule::Once => "series-twice",
            };
            self.found(id).with("number", fault.number).with("line", fault.line).fail()
        })
    }

    async fn asked_for(&self) -> Result<Answer, Finding> {
        let client = Client::new(self.admin);
        let request = client.request("GET", "/metrics");
        match client.send(&request).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Refused) => {
                if let Some(ended) = self.running.ended().await {
                    return Err(ended);
                }
                let found = self.found("no-admin-port").with("address", self.admin.to_string());
                Err(found.timed().fail())
            }
            Err(trouble) => {
                let finding = self.running.trouble(&trouble, &request).await;
                Err(finding.map(|found| {
                    let commands = self.by_hand(found.id);
                    found.repeat(commands)
                }))
            }
        }
    }

    /// What is counted, as soon as it is so, or when it has had its time to be.
    ///
    /// # Errors
    ///
    /// As [`Measured::scrape`].
    pub async fn until(
        &self,
        so: impl Fn(&Exposition) -> bool + Send,
    ) -> Result<Exposition, Finding> {
        let deadline = Instant::now() + LAG;
        loop {
            let read = self.scrape().await?;
            if so(&read) || Instant::now() > deadline {
                return Ok(read);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A diagnosis, with how to see the metrics.
    pub fn found(&self, id: &'static str) -> Diagnosis {
        Diagnosis::new(id).repeat(self.by_hand(id))
    }

    /// Commands that show the metrics behind requests such as this is found by.
    pub fn by_hand(&self, id: &str) -> Vec<String> {
        const ALL: &[u16] = &[6190, 6191, 6192];
        const HTTPBIN: &[u16] = &[6190];
        const ONE_DIES: &[u16] = &[6190, 6193];
        const BOTH_DIE: &[u16] = &[6193, 6194];
        let quietly =
            |target: &str| format!("curl -s -o /dev/null 'http://127.0.0.1:6188{target}'");
        let dying = "sleep 20; pingora-lab probe --count 4".to_owned();
        let (dies, ports, asked) = match id {
            "retry-counted-twice" | "retry-at-the-wrong-backend" => {
                (Some("6193,0,0"), ONE_DIES, dying)
            }
            "failure-not-counted" | "failure-counted-twice" => {
                (Some("6193,6194,0"), BOTH_DIE, dying)
            }
            "own-answer-not-counted" => (
                None,
                ALL,
                format!("pingora-lab probe --count 5 http://127.0.0.1:6188{}/x", self.limited),
            ),
            "abort-not-counted" => {
                (None, HTTPBIN, "curl --max-time 1 http://127.0.0.1:6188/delay/5".to_owned())
            }
            "duration-without-body" | "duration-too-short" => {
                (None, HTTPBIN, quietly("/drip?duration=2&numbytes=4"))
            }
            "duration-too-long" | "duration-in-another-unit" => {
                (None, HTTPBIN, quietly("/delay/1"))
            }
            "path-in-labels" | "host-in-labels" | "method-in-labels" | "labels-grow" => (
                None,
                ALL,
                "for i in A B C D; do curl -s -o /dev/null -X BREW$i -H \"Host: h$i.test\" \
                 http://127.0.0.1:6188/p$i; done"
                    .to_owned(),
            ),
            _ => (None, ALL, "pingora-lab probe --count 5".to_owned()),
        };
        let shown = match id {
            "admin-open-to-all" => "curl -i http://127.0.0.2:6189/metrics",
            "admin-forwards" => "curl -i http://127.0.0.1:6189/anything",
            "metrics-public" | "metrics-path-taken" => "curl -i http://127.0.0.1:6188/metrics",
            "scrapes-counted" => "for i in 1 2 3; do curl -s http://127.0.0.1:6189/metrics; done",
            _ => "curl -i http://127.0.0.1:6189/metrics",
        };
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (backends, limited) = (ports.iter().copied().map(lab), ("once", &*self.limited));
        let file = file(lab(6188), lab(6189), "web", backends, limited);
        let dies = dies.map(|ports| format!("timeout 20 pingora-lab backends --ports {ports}"));
        let mut commands = vec!["pingora-lab backends".to_owned()];
        commands.extend(dies);
        commands.extend([
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            asked,
            shown.to_owned(),
        ]);
        commands
    }
}

/// Waits for the program to listen there, since its listeners need not all come at once;
/// whether somebody else does, who was quicker at this port.
pub async fn taken(running: &Running<'_>, admin: SocketAddr) -> Result<bool, Finding> {
    let deadline = Instant::now() + LAG;
    while !running.listens_on()?.iter().any(|one| one.port() == admin.port()) {
        if let Some(ended) = running.ended().await {
            return Err(ended);
        }
        if Instant::now() > deadline {
            return Ok(!matches!(Client::new(admin).connect().await, Err(Trouble::Refused)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(false)
}

/// A pool, routes with and without a limit, and the admin listener.
fn file(
    listen: SocketAddr,
    admin: SocketAddr,
    pool: &str,
    backends: impl Iterator<Item = SocketAddr>,
    (limit, limited): (&str, &str),
) -> ConfigFile {
    ConfigFile::new()
        .listener(listen)
        .table("[admin]", [("address", text(admin))])
        .table(&format!("[rate_limit.{limit}]"), [("requests", 1.into())])
        .pool(pool, Some(INTERVAL), backends)
        .route(&[], None, pool)
        .route(&[], Some(limited), pool)
        .key("rate_limit", vec![text(limit)])
}

/// How many requests are counted, by backend and class.
pub fn counts(read: &Exposition) -> Counts {
    let mut counts = Counts::new();
    for sample in read.family(REQUESTS).into_iter().flat_map(|family| &family.samples) {
        let key = (sample.label("backend").to_owned(), sample.label("status").to_owned());
        // A program that shows anything but whole numbers shows something wrong anyway.
        *counts.entry(key).or_default() += sample.value.max(0.0).round() as u64;
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// How many in all.
pub fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// The class of a status: `2xx`.
pub fn class(status: u16) -> String {
    format!("{}xx", status / 100)
}

/// In words, in order.
pub fn in_words(counts: &Counts) -> String {
    let one = |((backend, status), count): (&(String, String), &u64)| {
        format!("{backend} {status}: {count}")
    };
    if counts.is_empty() {
        "0".to_owned()
    } else {
        counts.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
