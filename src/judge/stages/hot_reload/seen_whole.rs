//! No request goes by a route of one file and a pool of another.
//!
//! Two pools change places together with the route: whoever follows the route of either file to
//! a pool of the same file never comes to the third backend.

use std::net::SocketAddr;
use std::time::Instant;

use futures_util::future;

use super::live::{INTERVAL, Live, Part, SEEN, in_words, is_of};
use super::storm::storm;
use crate::backends::recording::{Act, Gate, Log, RecordingBackend, Reply};
use crate::judge::client::{Answer, Trouble};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often the file changes while requests come.
const CHANGES: usize = 20;

/// The prefix of the route.
const PREFIX: &str = "/anything/either";

/// A request that is tried again behind a change, and then many while it changes.
pub async fn seen_whole(scene: &Scene) -> Outcome {
    let sign = Part::drawn(scene);
    let pools = [scene.draw.word(), scene.draw.word()];
    let signs = scene.backends_named(&sign.pool, 2)?;
    // The first is right by the first file, the second by the other; the third by neither.
    let backends = scene.backends_named("backend", 3)?;
    let file = |listen: SocketAddr, changed: usize| {
        let own = [[0, 2], [2, 1]][changed];
        let file =
            pools.iter().zip(own).fold(ConfigFile::new().listener(listen), |file, (pool, own)| {
                file.pool(pool, Some(INTERVAL), [backends[own].address()])
            });
        let file = file.route(&[], Some(PREFIX), &pools[changed]);
        sign.add(file, &[&signs[changed]])
    };
    let live = Live::start(scene, &|listen| file(listen, 0)).await?;
    live.served(PREFIX).await?;
    let found = |answered: &Result<Answer, Trouble>| {
        let seen = in_words(answered);
        Err(Diagnosis::new("half-of-each")
            .compared("a backend to which the route of one file leads", &seen)
            .with("first", &*pools[0])
            .with("second", &*pools[1])
            .with("seen", seen)
            // By hand the moment can't be met.
            .repeat(Vec::new())
            .fail())
    };

    scene.plan("a change while a request waits, which is then tried again");
    // From one file to the other and back: a connection that was not a pooled one is not tried
    // again, and tells nothing.
    for from in [0, 1, 0] {
        let answered =
            changes_meanwhile(&live, &file, &sign.prefix, &signs, &backends, from).await?;
        if is_of(&answered, &backends[2]) {
            return found(&answered);
        }
        if answered.is_ok_and(|answer| answer.status == 200) {
            break;
        }
    }

    scene.plan(format!("{CHANGES} changes of a route and its pools"));
    let files = (0..CHANGES).map(|nth| file(live.listen(), nth % 2));
    let (heard, _) = storm(&live, PREFIX, files, async { Ok(()) }).await?;
    match heard.into_iter().find(|heard| is_of(heard, &backends[2])) {
        Some(heard) => found(&heard),
        None => Ok(()),
    }
}

/// A request comes to the backend of one file, the other is taken, and the connection to that
/// backend breaks: a GET over a pooled one is tried again.
async fn changes_meanwhile(
    live: &Live<'_>,
    file: &(impl Fn(SocketAddr, usize) -> ConfigFile + Sync),
    sign: &str,
    signs: &[RecordingBackend],
    backends: &[RecordingBackend],
    from: usize,
) -> Result<Result<Answer, Trouble>, Finding> {
    let (backend, to) = (&backends[from], 1 - from);
    let recorder = &live.scene.recorder;
    let before = recorder.read(|log| log.requests_to(backend.name()).count());
    let gate = breaks(backend);
    let changes = async {
        let comes = |log: &Log| log.requests_to(backend.name()).nth(before).map(|_| ());
        recorder.wait_for(Instant::now() + SEEN, comes).await;
        live.replace(&file(live.listen(), to))?;
        let taken = live.takes(sign, &signs[to], "change-not-seen").await;
        let name = backend.name().to_owned();
        backend.set_to(move |_| Act::Answer(Reply::ok(name.clone())));
        backend.close_connections();
        gate.open();
        taken
    };
    let (answered, changed) = future::join(live.ask(PREFIX), changes).await;
    changed.map(|()| answered)
}

/// Has the backend keep requests until the gate opens.
fn breaks(backend: &RecordingBackend) -> Gate {
    let gate = Gate::closed();
    let hold = gate.clone();
    backend.set_to(move |_| Act::Hold(hold.clone(), Reply::ok("too late")));
    gate
}
