//! How many get through: no fewer than a client may have, and no more than a bucket of
//! that size gives in the time.

use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::limited::{Asked, Limited, by_hand, passed};
use super::quota::{EDGE, Quota, Way};
use crate::backends::recording::{Act, Reply};
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// After this time of silence everything is to be had again: twice what a bucket takes to
/// fill, since what counts in windows may look back at the one before.
pub const REST: Duration = Duration::from_millis(2200);

/// After this time of silence a bucket has filled, and a window has begun anew.
const FILLED: Duration = Duration::from_millis(1050);

/// How many more than its burst are asked for of a limit that fills slowly.
const MORE: u64 = 5;

/// How many times as many are asked for of whom nobody was refused: a limit that is too high
/// ends somewhere.
const BEYOND: usize = 3;

/// How often somebody asks who keeps asking.
const PAUSE: Duration = Duration::from_millis(10);

/// How long behind the earliest beginning of a window, if there are any, a row begins that is to
/// be over before its end, and how long behind the latest one that comes just behind it.
const BEFORE_THE_END: Duration = Duration::from_millis(820);
const BEHIND_THE_END: Duration = Duration::from_millis(1020);

/// The row at the end of a window has to be over by then to be that.
const OVER: Duration = Duration::from_millis(990);

/// And both within that time, for twice the limit to be seen as too much.
const QUICK: Duration = Duration::from_millis(700);

/// A row from rest; one of a limit with a burst of its own; and what comes around the
/// edge of a window, should there be windows. What has to be quick and was not, on a busy
/// machine, is tried until the time of the check is over.
pub async fn exact_limit(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let (quota, from) = (limited.quota, limited.address());
    let get = || limited.get();
    let row = limited.row(from, quota.requests * 3, get).await?;
    not_too_many(&limited, quota, &row, get).await?;
    from_rest(&limited, quota, &row)?;
    if row.iter().all(Asked::passed) {
        limited.not_held_back(quota, &row, from, &get).await?;
    }

    let slow_quota = limited.slow_quota;
    let slow = || limited.get_below(&limited.slow);
    loop {
        let from = limited.address();
        let row = limited.row(from, slow_quota.burst + MORE, slow).await?;
        not_too_many(&limited, slow_quota, &row, slow).await?;
        from_rest(&limited, slow_quota, &row)?;
        if row.iter().all(Asked::passed) {
            limited.not_held_back(slow_quota, &row, from, &slow).await?;
        }
        let took = row.iter().map(|one| one.way.answered - one.way.sent).sum::<Duration>();
        // Hardly anything came in meanwhile, so it was seen to the request.
        if took < Duration::from_secs(1) {
            break;
        }
    }

    around_an_edge(&limited, from, row).await
}

/// Many at once, while their backends take their time.
pub async fn at_once(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    for backend in &limited.backends {
        backend.always(Act::Answer(Reply::ok("late")).after(Duration::from_millis(80)));
    }
    let slow = || limited.get_below(&limited.slow);
    let quota = limited.slow_quota;
    let asked = limited.at_once(limited.address(), quota.burst * 2, slow).await?;
    limited.within("counted-too-late", quota, &asked)?;
    let (passed, least) = (passed(&asked), quota.burst);
    if passed >= least {
        return Ok(());
    }
    let found = limited.found("limit-too-low", quota);
    Err(found.compared(format!("at least {least}"), passed).with("passed", passed).fail())
}

/// No more of a row from rest than may be.
async fn not_too_many(
    limited: &Limited<'_>,
    quota: Quota,
    row: &[Asked],
    request: impl Fn() -> Request,
) -> Outcome {
    let Err(too_many) = limited.within("limit-too-high", quota, row) else { return Ok(()) };
    // Nobody is refused; over a single connection neither?
    let all = row.iter().all(Asked::passed);
    let many = row.len() * BEYOND;
    if all && let Some(alone) = over_one_connection(limited, many, &request).await {
        let found = limited.not_limited(quota, many);
        if alone.iter().all(Asked::passed) {
            return Err(found.fail());
        }
        if limited.within("limit-too-high", quota, &alone).is_ok() {
            return Err(found.renamed("key-with-port").fail());
        }
    }
    // Of somebody else's row just behind it neither? If of that it is no more, then the first
    // has met the edge of a window.
    let again = limited.row(limited.address(), row.len() as u64, request).await?;
    Err(match limited.within("limit-too-high", quota, &again) {
        Ok(()) => too_many.map(|found| {
            let id = "window-doubles";
            found.renamed(id).repeat(by_hand(limited.scene.stage(), id, quota))
        }),
        Err(again) => again,
    })
}

/// What becomes of so many requests of somebody else over one connection; none if it
/// does not stay.
async fn over_one_connection(
    limited: &Limited<'_>,
    count: usize,
    request: &impl Fn() -> Request,
) -> Option<Vec<Asked>> {
    let client = limited.running.client_from(limited.address());
    let mut connection = client.connect().await.ok()?;
    let mut asked = Vec::new();
    for _ in 0..count {
        let (request, sent) = (request(), Instant::now());
        let answer = connection.send(&request).await.ok()?;
        let stays = answer.reusable;
        let way = Way { sent, answered: Instant::now() };
        asked.push(Asked { request, answer, way });
        // Who is refused may have to come anew.
        if !stays {
            break;
        }
    }
    Some(asked)
}

/// Who comes from rest has the whole burst: as many requests from the first on.
fn from_rest(limited: &Limited<'_>, quota: Quota, row: &[Asked]) -> Outcome {
    let burst = usize::try_from(quota.burst).unwrap_or(usize::MAX).min(row.len());
    let passed = passed(&row[..burst]);
    if passed >= quota.burst {
        return Ok(());
    }
    // Where there is a burst of its own, and hardly any of it was there.
    let ignored = quota.burst != quota.requests && passed * 2 < quota.burst;
    let id = if ignored { "burst-ignored" } else { "limit-too-low" };
    let expected = format!("the first {burst} let through");
    let found = limited.found(id, quota).compared(expected, format!("{passed} of them"));
    Err(found.with("passed", passed).fail())
}

/// Windows that begin anew let twice as much through around their edge. `asked` is what
/// this client has asked already, without a pause.
async fn around_an_edge(limited: &Limited<'_>, from: IpAddr, mut asked: Vec<Asked>) -> Outcome {
    loop {
        // The first that passes again: where there are windows, one begins here.
        let Some(edge) = next_that_passes(limited, from, &mut asked).await? else {
            return starved(limited).await;
        };
        tokio::time::sleep_until((edge.start + BEFORE_THE_END).into()).await;
        let begun = Instant::now();
        asked.extend(limited.at_once(from, limited.quota.burst, || limited.get()).await?);
        let was_over = edge.start.elapsed() < OVER;
        tokio::time::sleep_until((edge.end + BEHIND_THE_END).into()).await;
        asked.extend(limited.at_once(from, limited.quota.burst, || limited.get()).await?);
        let was_quick = begun.elapsed() < QUICK;
        limited.within("window-doubles", limited.quota, &asked)?;
        if was_over && was_quick {
            return Ok(());
        }
    }
}

/// Asks until it is let through again; between which times that began.
async fn next_that_passes(
    limited: &Limited<'_>,
    from: IpAddr,
    asked: &mut Vec<Asked>,
) -> Result<Option<Range<Instant>>, Finding> {
    let begun = Instant::now();
    let mut refused = begun;
    loop {
        // Once more when the time is over: the machine may have stood still for all of it.
        let over = begun.elapsed() >= REST;
        let one = limited.ask(from, limited.get()).await?;
        let Way { sent, answered } = one.way;
        let passes = one.passed();
        asked.push(one);
        if passes {
            return Ok(Some(refused..answered));
        }
        if over {
            return Ok(None);
        }
        refused = sent;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Who kept asking was not let through once. Is somebody who is refused once, and then
/// waits? (If not even that, it is what another check is about.)
async fn starved(limited: &Limited<'_>) -> Outcome {
    let patient = limited.address();
    limited.drained(patient, limited.quota, || limited.get()).await?;
    tokio::time::sleep(REST).await;
    if !limited.ask(patient, limited.get()).await?.passed() {
        return Ok(());
    }
    let asked = format!("{:.1}", REST.as_secs_f64());
    let found = limited.found("refusals-count", limited.quota).with("seconds", &*asked);
    let expected = format!("about {} let through in {asked} s", limited.quota.requests * 2);
    Err(found.compared(expected, "none").fail())
}

/// Who has waited has everything again.
pub async fn recovers(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let (quota, from) = (limited.quota, limited.address());
    limited.drained(from, quota, || limited.get()).await?;
    let mut passed_again = 0;
    // What counts in windows, and looks back at the one before, needs the longer time.
    for silence in [FILLED, REST] {
        tokio::time::sleep(silence).await;
        passed_again = passed(&limited.row(from, quota.burst, || limited.get()).await?);
        if passed_again + EDGE >= quota.burst {
            return Ok(());
        }
    }
    let id = if passed_again == 0 { "never-recovers" } else { "recovers-in-part" };
    Err(limited
        .found(id, quota)
        .compared(format!("{} of {}", quota.burst, quota.burst), passed_again)
        .with("passed", passed_again)
        .with("seconds", format!("{:.1}", REST.as_secs_f64()))
        .fail())
}
