//! The file changes under load: while a backend is down, with a file that can't be used in
//! between, without a backend and with it again.

use std::time::{Duration, Instant};

use super::backends_fail::SOME;
use super::load::Wish;
use super::site::{INTERVAL, PAUSE, Phase, Site};
use crate::backends::recording::{Log, RecordingBackend};
use crate::judge::stage::Outcome;

/// By when a change counts: what stage 18 asks for, and more where the machine is busy.
const TAKEN: Duration = Duration::from_secs(4);

/// How long a program may take to see that a file can't be used.
const COMPLAINS: Duration = Duration::from_millis(1500);

/// How a file can be broken: by a last line.
pub const BROKEN: [&str; 3] =
    ["[[pool]", "[[route]]\npool = \"nowhere\"", "[[pool]]\nname = \"empty\"\nbackend = []"];

/// The file changes while this one is down, and goes without the other.
///
/// # Errors
///
/// What was found.
pub async fn reloads(
    site: &Site<'_>,
    down: &RecordingBackend,
    without: usize,
    broken: &str,
) -> Outcome {
    site.turn(Phase::Reloads).await;
    let out = &site.pools.web.backends[without];
    site.kill(down)?;
    // It is looked at once more at least, and found to be down.
    tokio::time::sleep(2 * INTERVAL).await;
    let said = || site.running.written()[1].1.len();
    let before = said();
    site.breaks(broken)?;
    site.until(COMPLAINS, || said() > before).await;
    site.serves(SOME).await;
    site.revive(down)?;
    site.returns(down, "broken-file-stops-checks").await?;

    site.kill(down)?;
    tokio::time::sleep(2 * INTERVAL).await;
    taken(site, site.reload(Some(without))?).await?;
    let since = Instant::now();
    site.revive(down)?;
    site.returns(down, "down-at-reload-stays-out").await?;
    site.serves(SOME).await;
    stays_out(site, out, since)?;
    taken(site, site.reload(None)?).await?;
    site.returns(out, "not-back-in-file").await
}

/// Waits until the file is in use whose backend this is.
///
/// # Errors
///
/// It is not.
pub async fn taken(site: &Site<'_>, sign: &RecordingBackend) -> Outcome {
    let begun = Instant::now();
    while begun.elapsed() < TAKEN {
        let wish = Wish::to(site, &site.pools.sign, "GET", site.number());
        let target = wish.request.target.clone();
        site.ask(wish, None).await;
        let there = |log: &Log| log.requests_to(sign.name()).any(|one| one.target == target);
        if site.scene.recorder.read(there) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(site
        .found("reload-lost")
        .compared(format!("a request at {}", sign.name()), "none")
        .with("backend", sign.name())
        .with("seconds", TAKEN.as_secs())
        .with("output", site.running.last_lines())
        .timed()
        .fail())
}

/// What was asked since then did not come to a backend that the file no longer has.
fn stays_out(site: &Site<'_>, out: &RecordingBackend, since: Instant) -> Outcome {
    let asked = site.asked.lock().clone();
    let late: Vec<_> = asked.iter().filter(|asked| asked.sent > since).collect();
    let came = site.scene.recorder.read(|log| {
        let mut came = log.requests_to(out.name()).filter(|one| one.at > since);
        came.find(|one| late.iter().any(|asked| asked.target == one.target)).cloned()
    });
    let Some(came) = came else { return Ok(()) };
    Err(site
        .found("out-of-file-still-used")
        .compared(format!("no request at {}", out.name()), &came.target)
        .with("backend", out.name())
        .with("request", format!("{} {}", came.method, came.target))
        .fail())
}
