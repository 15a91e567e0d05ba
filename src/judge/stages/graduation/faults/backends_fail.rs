//! One backend of the pool is hurt, in one way; the others have nothing to do with it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future;

use super::deeds::{Instead, Mood};
use super::load::Wish;
use super::site::{FAILURES, INTERVAL, Phase, SERVED, Site};
use crate::backends::recording::{Act, Gate, RecordingBackend};
use crate::judge::stage::Outcome;

/// How many requests of each method are waited for where something goes on.
pub const SOME: usize = 10;

/// How many of each must be served while others are held up: more than clients come to send
/// before each has met with what holds them.
pub const ENOUGH: usize = 40;

/// How many requests a backend is to fail: then its breaker is open.
const FAILS: usize = FAILURES;

/// How many a backend that is slow is to answer so.
const SLOW: usize = 4;

/// How often a backend that flaps goes away.
const FLAPS: usize = 5;

/// How many requests are sent of which a backend holds its share, and how many it should hold.
const MANY: usize = 70;
const HELD: usize = 30;

/// How long failures are waited for: a breaker may let through few.
const TO_FAIL: Duration = Duration::from_millis(900);

/// The backend that is hurt returns.
const RETURNS: &str = "does-not-return";

/// What happens to this backend in this phase.
///
/// # Errors
///
/// What was found.
pub async fn goes_through(site: &Site<'_>, phase: Phase, backend: &RecordingBackend) -> Outcome {
    site.turn(phase).await;
    match phase {
        Phase::Killed => {
            site.kill(backend)?;
            site.serves(2 * SOME).await;
        }
        Phase::Flapping => {
            for _ in 0..FLAPS {
                site.kill(backend)?;
                site.serves(2).await;
                site.revive(backend)?;
                tokio::time::sleep(INTERVAL / 2).await;
            }
        }
        Phase::Slow => {
            let before = site.ledger.served(backend);
            site.ledger.set(backend, Mood::Slow(site.pools.read / 3));
            site.until(SERVED, || site.ledger.served(backend) >= before + SLOW).await;
            site.serves(SOME).await;
        }
        _ => {
            let mood = match phase {
                Phase::Hanging => Mood::Hangs,
                Phase::BrokenHeads => Mood::BreaksHeads,
                _ => Mood::BreaksBodies,
            };
            let before = site.ledger.failed();
            site.ledger.set(backend, mood);
            site.until(TO_FAIL, || site.ledger.failed() >= before + FAILS).await;
            site.serves(SOME).await;
        }
    }
    site.revive(backend)?;
    site.returns(backend, RETURNS).await
}

/// So many requests wait for one backend that nothing that is counted should be left for
/// others; these have nothing to do with it.
///
/// # Errors
///
/// They have.
pub async fn held(site: &Site<'_>) -> Outcome {
    site.turn(Phase::Held).await;
    let (gate, api) = (Gate::closed(), &site.pools.api);
    let part = format!("{}/held-", api.prefix);
    site.ledger.always(Some(&api.backends[0]), &part, holding(&gate));
    let wishes = (0..MANY).map(|nth| Wish::to(site, api, "GET", format!("held-{nth}")));
    let asked: Vec<_> = wishes.map(|wish| site.ask(wish, None)).collect();
    let asked = future::join_all(asked);
    let meanwhile = async {
        site.until(Duration::from_secs(1), || gate.waiting() >= HELD).await;
        let waiting = gate.waiting();
        let served = site.serves(ENOUGH).await;
        gate.open();
        (served, waiting)
    };
    let (_, (served, waiting)) = future::join(asked, meanwhile).await;
    if served {
        return Ok(());
    }
    Err(site
        .found("slow-holds-others")
        .compared(format!("{ENOUGH} GETs and {ENOUGH} POSTs of others served"), "fewer")
        .with("waiting", waiting)
        .with("backend", api.backends[0].name())
        .with("seconds", SERVED.as_secs())
        .timed()
        .fail())
}

/// Answers when the gate opens.
pub fn holding(gate: &Gate) -> Instead {
    let gate = gate.clone();
    Arc::new(move |reply| Act::Hold(gate.clone(), reply))
}
