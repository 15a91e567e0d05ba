//! The file is not read for each request.
//!
//! On Linux the system says how often a file is opened (inotify); elsewhere nothing can be said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, EventKind};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::live::{Live, Part, by_hand, name_of};
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests come, one after the other: of opens that nobody has heard of yet, two in a
/// row are told as one.
const REQUESTS: usize = 30;

/// A file that is made behind them: what was opened before it is told before it.
const MARK: &str = "mark";

/// How long it may take until that is told.
const TO_BE_TOLD: Duration = Duration::from_secs(1);

/// Requests for a while, and none for as long.
pub async fn not_per_request(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, 1)?;
    let live = Live::start(scene, &|listen| part.alone(listen, &[&backends[0]])).await?;
    live.served(&part.prefix).await?;
    if !cfg!(target_os = "linux") {
        return Err(scene.our_error("who opens a file", &"this system does not say"));
    }
    let opened = Arc::new(AtomicUsize::new(0));
    let (counted, name) = (Arc::clone(&opened), name_of(&live.path));
    let (tell, mut told) = mpsc::unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if event.paths.iter().any(|path| name_of(path) == MARK) {
            let _ = tell.send(());
        }
        let ours = event.paths.iter().any(|path| name_of(path) == name);
        if ours && matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
            counted.fetch_add(1, Relaxed);
        }
    });
    let not_told = |error: notify::Error| scene.our_error("who opens a file", &error);
    let mut watcher = watcher.map_err(not_told)?;
    let folder = live.path.parent().unwrap_or(&live.path);
    watcher.watch(folder, RecursiveMode::NonRecursive).map_err(not_told)?;
    scene.plan(format!("{REQUESTS} requests"));
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        live.served(&part.prefix).await?;
    }
    live.ours(std::fs::write(folder.join(MARK), ""))?;
    let _ = tokio::time::timeout(TO_BE_TOLD, told.recv()).await;
    let took = begun.elapsed();
    let busy = opened.swap(0, Relaxed);
    tokio::time::sleep(took).await;
    let quiet = opened.load(Relaxed);
    // Who looks again and again opens it about as often; who looks for each request, so many
    // times more, of which not all may have been told.
    if busy > quiet + (quiet / 2).max(REQUESTS / 2) {
        return Err(Diagnosis::new("read-for-each-request")
            .compared(format!("about {quiet}, as without requests"), format!("opened {busy} times"))
            .with("requests", REQUESTS)
            .with("opened", busy)
            .with("quiet", quiet)
            .repeat(by_hand("read-for-each-request"))
            .fail());
    }
    Ok(())
}
