//! Whose limit it is: that of the address that a connection comes from, for what the
//! routes say, and of no other.

use super::limited::{Asked, Limited, passed};
use super::quota::{EDGE, Quota};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Fields in which clients say who they are.
const CLAIMS: [&str; 4] = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"];

/// How many others come, before it is asked whether the first is still known.
const OTHERS: usize = 24;

/// Whether nobody else has taken anything of a burst. (That it is exact is what another check
/// is about.)
fn has_all(quota: Quota, row: &[Asked]) -> bool {
    passed(row) + EDGE >= quota.burst
}

/// One address has used up what it may have; others have not.
pub async fn other_address(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let (quota, greedy) = (limited.quota, limited.address());
    let mut asked = limited.drain(greedy).await?;
    let other = limited.address();
    let row = limited.row(other, quota.burst, || limited.get()).await?;
    if !has_all(quota, &row) {
        return Err(limited
            .found("others-pay", quota)
            .compared(format!("{} of {}", quota.burst, quota.burst), passed(&row))
            .with("passed", passed(&row))
            .with("greedy", greedy.to_string())
            .with("other", other.to_string())
            .fail());
    }
    for _ in 0..OTHERS {
        limited.ask(limited.address(), limited.get()).await?;
    }
    asked.extend(limited.row(greedy, quota.burst, || limited.get()).await?);
    let kept = limited.within("forgotten-too-soon", quota, &asked);
    kept.map_err(|finding| finding.map(|found| found.with("others", OTHERS + 1)))
}

/// Limits are those that a route names: two have buckets of their own, one has the
/// same for all of its routes, where two are named both are asked, and where none is
/// named there is none.
pub async fn as_routes_say(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let (quota, other) = (limited.quota, limited.other_quota);

    let count = quota.requests * 2;
    let free = || limited.get_below(&limited.free);
    let row = limited.row(limited.address(), count, free).await?;
    if passed(&row) < count {
        return Err(limited
            .found("limits-every-route", quota)
            .compared(format!("{count} of {count}"), passed(&row))
            .with("prefix", &*limited.free)
            .fail());
    }

    let from = limited.address();
    limited.drained(from, other, || limited.get_below(&limited.other)).await?;
    let row = limited.row(from, quota.burst, || limited.get()).await?;
    if !has_all(quota, &row) {
        return Err(limited
            .found("limits-share", quota)
            .compared(format!("{} of {}", quota.burst, quota.burst), passed(&row))
            .with("prefix", &*limited.other)
            .with("passed", passed(&row))
            .fail());
    }

    let from = limited.address();
    let mut asked = limited.drain(from).await?;
    asked.extend(limited.row(from, quota.burst, || limited.get_below(&limited.again)).await?);
    let shared = limited.within("counts-by-route", quota, &asked);
    shared.map_err(|finding| finding.map(|found| found.with("prefix", &*limited.again)))?;

    let both = || limited.get_below(&limited.both);
    let asked = limited.row(limited.address(), other.burst, both).await?;
    let all = limited.within("one-limit-asked", quota, &asked);
    all.map_err(|finding| finding.map(|found| found.with("prefix", &*limited.both)))
}

/// What a client says of itself neither helps it nor harms whom it names.
pub async fn spoof_fails(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let (quota, greedy, named) = (limited.quota, limited.address(), limited.address());
    let claim = |field: &'static str, claim: String| {
        let value = if field == "Forwarded" { format!("for={claim}") } else { claim };
        limited.get().header(field, value)
    };
    let mut asked = limited.drain(greedy).await?;
    for field in CLAIMS {
        let claims = || claim(field, limited.address().to_string());
        asked.extend(limited.row(greedy, quota.burst, claims).await?);
        let trusted = limited.within("header-trusted", quota, &asked);
        trusted.map_err(|finding| finding.map(|found| found.with("field", field)))?;
    }
    // Somebody else's is not spent in their name.
    for field in CLAIMS {
        limited.row(greedy, quota.burst, || claim(field, named.to_string())).await?;
    }
    let row = limited.row(named, quota.burst, || limited.get()).await?;
    if has_all(quota, &row) {
        return Ok(());
    }
    Err(limited
        .found("named-pays", quota)
        .compared(format!("{} of {}", quota.burst, quota.burst), passed(&row))
        .with("named", named.to_string())
        .with("passed", passed(&row))
        .fail())
}
