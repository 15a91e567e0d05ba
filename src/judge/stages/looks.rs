//! What a backend sees of health checks: as long as no client asks for anything,
//! whoever comes looks at its health.

use std::time::{Duration, Instant};

use crate::backends::recording::{Entry, Log, RecordingBackend};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stages::own::refuse;

/// A death counts as known once each other backend was looked at so often since:
/// that leaves three looks at the dead one even where they take turns, as many as
/// any threshold that one would want here.
const ROUNDS: usize = 4;

/// How much longer than their intervals the rounds may take. It decides nothing:
/// a program that does not look at its backends at all is then asked all the same.
const SLACK: Duration = Duration::from_secs(2);

/// When each backend was looked at, since a moment.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The times, a list for each backend.
    pub at: Vec<Vec<Instant>>,
}

/// These backends refuse connections from now on. Returns once that should be known, with
/// what was seen meanwhile of checks at the others.
///
/// # Errors
///
/// One could not be stopped, which is inconclusive.
pub async fn all_die(
    scene: &Scene,
    dead: &[&RecordingBackend],
    others: &[&RecordingBackend],
    interval: Duration,
) -> Result<Looks, Finding> {
    for one in dead {
        refuse(scene, one)?;
    }
    let since = scene.recorder.read(|log| log.entries().len());
    let rounds = u32::try_from(ROUNDS).unwrap_or(1);
    let deadline = Instant::now() + interval * rounds + SLACK;
    Ok(Looks::wait(scene, others, since, ROUNDS, deadline).await)
}

// === impl Looks ===

impl Looks {
    /// Waits until each of these backends was looked at so often from the log's
    /// entry `since` on, or until the deadline; what was seen by then.
    pub async fn wait(
        scene: &Scene,
        backends: &[&RecordingBackend],
        since: usize,
        times: usize,
        deadline: Instant,
    ) -> Self {
        let enough = |log: &Log| {
            let looks = Self::in_log(log, backends, since);
            looks.at.iter().all(|at| at.len() >= times).then_some(looks)
        };
        let seen = scene.recorder.wait_for(deadline, enough).await;
        seen.unwrap_or_else(|| scene.recorder.read(|log| Self::in_log(log, backends, since)))
    }

    fn in_log(log: &Log, backends: &[&RecordingBackend], since: usize) -> Self {
        let of = |backend: &&RecordingBackend| {
            let seen = |entry: &Entry| match entry {
                Entry::Connected(one) if &*one.backend == backend.name() => Some(one.at),
                // A check over HTTP may keep its connection.
                Entry::Received(one) if &*one.backend == backend.name() => {
                    (one.nth_on_connection > 1).then_some(one.at)
                }
                _ => None,
            };
            log.entries().iter().skip(since).filter_map(seen).collect()
        };
        Self { at: backends.iter().map(of).collect() }
    }

    /// How often each backend was looked at.
    pub fn counts(&self) -> impl Iterator<Item = usize> + '_ {
        self.at.iter().map(Vec::len)
    }

    /// The least of [`Looks::counts`].
    pub fn fewest(&self) -> usize {
        self.counts().min().unwrap_or(0)
    }

    /// The greatest of [`Looks::counts`].
    pub fn most(&self) -> usize {
        self.counts().max().unwrap_or(0)
    }

    /// The shortest time from the first of so many looks in a row at one backend
    /// to the last of them; none where there were not so many.
    pub fn shortest_of(&self, times: usize) -> Option<Duration> {
        let windows = self.at.iter().flat_map(|at| at.windows(times));
        windows.filter_map(|window| Some(*window.last()? - *window.first()?)).min()
    }

    /// In words: `backend 1: 6, backend 2: 0`.
    pub fn in_words(&self, backends: &[RecordingBackend]) -> String {
        let one =
            |(backend, count): (&RecordingBackend, usize)| format!("{}: {count}", backend.name());
        backends.iter().zip(self.counts()).map(one).collect::<Vec<_>>().join(", ")
    }
}
