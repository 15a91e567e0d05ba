//! Under a steady load everything around the program fails, a kind of fault after the other in an
//! order that is drawn, and then all together: it stays right, and comes back whole.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `site` | the program, its pools, and what is known of all that was asked |
//! | `deeds` | what backends do to requests, and the book of it |
//! | `load` | clients that come all the time, and what they are told |
//! | `causes` | whether each request that failed has a cause of its own |
//! | `backends_fail` | one backend is hurt |
//! | `trial` | a client leaves that has the trial of a breaker |
//! | `bad_clients` | clients that leave, drip, say nothing or nonsense |
//! | `reloads` | the file changes |
//! | `storm` | all together |
//! | `books` | log and metrics at the end |

mod backends_fail;
mod bad_clients;
mod books;
mod causes;
mod deeds;
mod load;
mod reloads;
mod site;
mod storm;
mod trial;

use std::sync::atomic::Ordering::Relaxed;

use futures_util::future;

use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use backends_fail::{SOME, goes_through, held};
use bad_clients::bad_clients;
use books::Written;
use load::Wish;
use reloads::{BROKEN, reloads};
use site::{Phase, Site};
use storm::Step;

/// What only this check can come to.
pub const DIAGNOSES: &[&str] = &[
    // Of one request.
    "effect-twice",
    "foreign-answer",
    "tried-again-inside-answer",
    "cut-passes-for-whole",
    "upload-garbled",
    "answer-garbled",
    "status-misfits",
    "bad-client-costs-others",
    "reload-costs-requests",
    "refusal-reaches-client",
    "fails-without-cause",
    "request-hangs",
    // Of those beside it.
    "slow-holds-others",
    "bad-client-holds-others",
    "abort-blamed-on-backend",
    "connection-outlives-client",
    // Of what is well again.
    "does-not-return",
    "trial-lost-with-client",
    "broken-file-stops-checks",
    "down-at-reload-stays-out",
    "out-of-file-still-used",
    "not-back-in-file",
    "reload-lost",
    "not-well-again",
    // In the end.
    "line-lost",
    "abort-leaves-no-line",
    "line-doubled",
    "logged-status-untrue",
    "count-differs",
    "abort-not-in-metrics",
    "memory-keeps-growing",
];

/// By how much it may grow, in bytes: what a few hundred connections take, many times over.
const GROWTH: u64 = 96 << 20;

/// That others are held up, by whom.
const HELD_UP: [&str; 2] = ["slow-holds-others", "bad-client-holds-others"];

/// How many requests go to each backend in the last round.
const ROUND: usize = 2;

/// What is to happen, as it is drawn.
struct Plan {
    /// The phases before the storm, each with the place of a backend.
    phases: Vec<(Phase, usize)>,
    broken: &'static str,
    nonsense: Vec<u8>,
    steps: Vec<Step>,
    places: [usize; 3],
}

/// The whole of it.
pub async fn under_faults(scene: &Scene) -> Outcome {
    let site = Site::start(scene).await?;
    let plan = Plan::drawn(&site);
    let written = Written::default();
    let script = async {
        let came_through = script(&site, &plan).await;
        site.over.store(true, Relaxed);
        came_through
    };
    let (came_through, ()) = tokio::select! {
        both = future::join(script, site.load()) => both,
        never = written.follow(&site) => match never {},
    };
    // What is wrong with a request says more than what came of it later; but that all were held
    // up says more than that one was.
    if let Err(finding) = &came_through
        && HELD_UP.contains(&finding.diagnosis().id)
    {
        return Err(finding.clone());
    }
    site.causes().await?;
    if let Some(ended) = site.running.ended().await {
        return Err(ended);
    }
    let before = came_through?;
    well_again(&site).await?;
    site.causes().await?;
    books::agree(&site, &written).await?;
    has_not_grown(&site, before)
}

/// All phases; how much memory it took before them.
async fn script(site: &Site<'_>, plan: &Plan) -> Result<Option<u64>, Finding> {
    let web = &site.pools.web.backends;
    site.serves(SOME).await;
    let memory = site.running.memory();
    for (phase, place) in &plan.phases {
        let backend = &web[*place];
        match phase {
            Phase::Held => held(site).await?,
            Phase::Trial => trial::trial(site).await?,
            Phase::Reloads => {
                reloads(site, backend, (place + 1) % web.len(), plan.broken).await?;
            }
            Phase::BadClients => bad_clients(site, &plan.nonsense).await?,
            phase => goes_through(site, *phase, backend).await?,
        }
        // The next would only bury it.
        site.settled().await;
        site.causes().await?;
    }
    storm::storm(site, &plan.steps, plan.places).await?;
    reloads::taken(site, site.reload(None)?).await?;
    for pool in [&site.pools.web, &site.pools.api] {
        for backend in &pool.backends {
            site.returns(backend, "not-well-again").await?;
        }
    }
    site.turn(Phase::After).await;
    site.serves(SOME).await;
    Ok(memory)
}

/// A round of requests, one after the other.
async fn well_again(site: &Site<'_>) -> Outcome {
    let pools = &site.pools;
    for pool in pools.all() {
        for nth in 0..ROUND * pool.backends.len() {
            let method = if nth % 2 == 0 { "GET" } else { "POST" };
            let wish = Wish::to(site, pool, method, format!("round-{nth}"));
            site.ask(wish, None).await;
        }
    }
    Ok(())
}

fn has_not_grown(site: &Site<'_>, before: Option<u64>) -> Outcome {
    let (Some(before), Some(now)) = (before, site.running.memory()) else { return Ok(()) };
    if now <= before + GROWTH {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(site
        .found("memory-keeps-growing")
        .compared(format!("at most {} MiB", mib(before + GROWTH)), format!("{} MiB", mib(now)))
        .with("before_mib", mib(before))
        .with("after_mib", mib(now))
        .fail())
}

/// Whether what fails shows first where nothing else can be taken for its cause.
fn told_apart(phases: &[Phase]) -> bool {
    let place = |wanted| phases.iter().position(|phase| *phase == wanted);
    [
        // A client that leaves is taken for a failure: nobody else comes there.
        (Phase::Trial, Phase::BadClients),
        // A backend that is down, or slow, can't be done with: the file stays as it is, and all
        // clients are good.
        (Phase::Killed, Phase::Reloads),
        (Phase::Slow, Phase::Reloads),
        (Phase::Slow, Phase::BadClients),
    ]
    .iter()
    .all(|(first, then)| place(*first) < place(*then))
}

// === impl Plan ===

impl Plan {
    fn drawn(site: &Site<'_>) -> Self {
        let (scene, count) = (site.scene, site.pools.web.backends.len());
        let draw = &scene.draw;
        let mut phases = [
            Phase::Killed,
            Phase::Flapping,
            Phase::Slow,
            Phase::Hanging,
            Phase::BrokenHeads,
            Phase::BrokenBodies,
            Phase::Held,
            Phase::Trial,
            Phase::Reloads,
            Phase::BadClients,
        ];
        draw.shuffle(&mut phases);
        while !told_apart(&phases) {
            draw.shuffle(&mut phases);
        }
        let any = || usize::try_from(draw.number(0..count as u64)).unwrap_or(0);
        let phases: Vec<_> = phases.into_iter().map(|phase| (phase, any())).collect();
        for (phase, place) in &phases {
            scene.plan(format!("{phase:?}, backend {}", place + 1));
        }
        let mut places = [0, 1, 2, 3];
        draw.shuffle(&mut places);
        let broken = *draw.pick(&BROKEN);
        let nonsense = [&b"\x16\x03\x01\x02"[..], b"EHLO there\r\n\r\n", b"\x00\x01\r\n\r\n"];
        let nonsense = draw.pick(&nonsense).to_vec();
        scene.plan(format!(
            "broken by {broken:?}; nonsense is {:?}",
            nonsense.escape_ascii().to_string()
        ));
        let steps = storm::drawn(site);
        Self { phases, broken, nonsense, steps, places: [places[0], places[1], places[2]] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_and_bad_clients_come_behind_what_shows_without_them() {
        use Phase::{BadClients, Killed, Reloads, Slow, Trial};
        assert!(told_apart(&[Trial, Slow, BadClients, Killed, Reloads]));
        assert!(told_apart(&[Killed, Slow, Reloads, Trial, BadClients]));
        for wrong in [
            [BadClients, Trial, Slow, Killed, Reloads],
            [Trial, Slow, BadClients, Reloads, Killed],
            [Trial, Killed, Reloads, Slow, BadClients],
            [Trial, BadClients, Killed, Slow, Reloads],
        ] {
            assert!(!told_apart(&wrong), "{wrong:?}");
        }
    }
}
