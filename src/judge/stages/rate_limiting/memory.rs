//! However many addresses come, what is kept of them has an end, and each of them is
//! served.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::limited::{Addresses, limit};
use super::quota::Quota;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Of how many clients something may be remembered, by each limit.
const CLIENTS: u32 = 32;

/// How many limits a request is asked about. One alone would keep too little of an address
/// to be seen in the memory of a process.
const LIMITS: usize = 256;

/// How many addresses come before the first look: more than are remembered, so that
/// whatever may be kept is there by then.
const FIRST: usize = 100;

/// How many come behind it, if there is time, and fewer than which show nothing. A program may
/// grow once for reasons of its own; then as many again come twice.
const MORE: [(usize, usize); 2] = [(400, 160), (800, 320)];

/// How long they may take.
const TIME: Duration = Duration::from_secs(5);

/// How many are under way at a time.
const AT_ONCE: usize = 16;

/// By how much the program may grow meanwhile, in bytes: maps that make room as clients come
/// and go, and what its allocator does not give back; 192 bytes for each client of each
/// limit. A map of all addresses, with a number for each, takes 3 MiB more.
const ROOM: u64 = 3 << 19;

/// Thousands of addresses, each once.
pub async fn bounded_memory(scene: &Scene) -> Outcome {
    let flood = Flood::start(scene).await?;
    flood.come(FIRST).await?;
    let mut found = None;
    for (more, enough) in MORE {
        let before = flood.running.memory();
        let came = flood.come(more).await?;
        let (Some(before), Some(after)) = (before, flood.running.memory()) else {
            return Err(Diagnosis::new("our-error")
                .with("reason", "this system has no /proc to read the memory of a program from")
                .inconclusive());
        };
        if came < enough {
            let found = Diagnosis::new("out-of-time").with("limit_s", TIME.as_secs());
            return Err(found.inconclusive());
        }
        let grown = after.saturating_sub(before);
        if grown <= ROOM {
            return Ok(());
        }
        found = Some((grown, came));
    }
    let Some((grown, came)) = found else { return Ok(()) };
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let expected = format!("at most {} more", mib(ROOM));
    let found = flood.found("memory-grows").compared(expected, format!("{} more", mib(grown)));
    Err(found.with("grown", mib(grown)).with("addresses", came).fail())
}

/// A program with many limits that remember few clients, and many clients.
struct Flood<'a> {
    running: Running<'a>,
    addresses: Addresses,
    path: String,
    _backend: RecordingBackend,
}

impl<'a> Flood<'a> {
    async fn start(scene: &'a Scene) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let quota = Quota::even(draw.number(5..15));
        let (word, pool) = (draw.word(), draw.word());
        let (addresses, path) = (Addresses::drawn(scene), draw.path());
        scene.plan(format!("{LIMITS} limits {word}-1 and so on of {CLIENTS} clients each"));
        let backend = scene.backends(1)?.remove(0);
        backend.always(Act::Answer(Reply::ok("well")));
        let write = |listen| {
            let names: Vec<_> = (1..=LIMITS).map(|number| format!("{word}-{number}")).collect();
            let file = ConfigFile::new().listener(listen);
            let file =
                names.iter().fold(file, |file, name| limit(file, name, quota, Some(CLIENTS)));
            let names: Vec<_> = names.iter().map(text).collect();
            file.pool(&pool, Some(Duration::from_secs(30)), [backend.address()])
                .route(&[], None, &pool)
                .key("rate_limit", names)
        };
        let of = std::slice::from_ref(&backend);
        let running = scene.start_configured(of, &[], &write).await?;
        Ok(Self { running, addresses, path, _backend: backend })
    }

    /// So many addresses ask once each; how many did in the time.
    async fn come(&self, count: usize) -> Result<usize, Finding> {
        let deadline = Instant::now() + TIME;
        let ask = |number: usize| {
            let from = self.addresses.next();
            async move {
                let late = Instant::now() > deadline;
                if late { Ok(false) } else { self.ask(from, number).await.map(|()| true) }
            }
        };
        // Made beforehand, or the compiler does not see that the whole may be sent to
        // another thread.
        let all: Vec<_> = (0..count).map(ask).collect();
        let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
        let mut came = 0;
        while let Some(one) = all.next().await {
            came += usize::from(one?);
        }
        Ok(came)
    }

    /// Somebody who was never there is served.
    async fn ask(&self, from: IpAddr, number: usize) -> Outcome {
        let request = self.running.request("GET", format!("{}/{number}", self.path));
        match self.running.client_from(from).send(&request).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(self
                .found("newcomers-refused")
                .compared(200, answer.status)
                .with("status", answer.status)
                .with("address", from.to_string())
                .fail()),
            Err(trouble) => {
                let finding = self.running.trouble(&trouble, &request).await;
                Err(finding.map(|found| match found.id {
                    "request-panicked" => {
                        found.renamed("panics-when-full").with("clients", CLIENTS)
                    }
                    _ => found,
                }))
            }
        }
    }

    fn found(&self, id: &'static str) -> Diagnosis {
        Diagnosis::new(id).with("clients", CLIENTS).with("limits", LIMITS)
    }
}
