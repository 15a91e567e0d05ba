//! Whose limit it is: that of the address that a connection comes from, for what the
//! routes say, and of no other.
//!
//! Nearly all of it is asked of the limit that fills slowly: what is used up stays so,
//! however busy the machine is.

use std::net::IpAddr;

use super::limited::{Asked, Limited, passed};
use crate::judge::client::Request;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Fields in which clients say who they are.
const CLAIMS: [&str; 4] = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"];

/// How many others come, before it is asked whether the first is still known.
const OTHERS: usize = 24;

/// How many requests somebody sends who must have all of them, or none.
const SOME: u64 = 8;

/// One address has used up what it may have; others have not.
pub async fn other_address(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let slow = || limited.get_below(&limited.slow);
    let (greedy, other) = (limited.address(), limited.address());
    let mut asked = limited.drained(greedy, limited.slow_quota, slow).await?;
    let row = limited.row(other, SOME, slow).await?;
    if passed(&row) < SOME {
        return Err(limited
            .found("others-pay", limited.slow_quota)
            .compared(format!("{SOME} of {SOME}"), passed(&row))
            .with("sent", SOME)
            .with("passed", passed(&row))
            .with("greedy", greedy.to_string())
            .with("other", other.to_string())
            .fail());
    }
    for _ in 0..OTHERS {
        limited.ask(limited.address(), slow()).await?;
    }
    asked.extend(limited.row(greedy, SOME * 2, slow).await?);
    let kept = limited.within("forgotten-too-soon", limited.slow_quota, &asked);
    kept.map_err(|finding| finding.map(|found| found.with("others", OTHERS + 1)))
}

/// What a client says of itself neither helps it nor harms whom it names.
pub async fn spoof_fails(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let slow = || limited.get_below(&limited.slow);
    let value = |field: &str, claim: IpAddr| {
        if field == "Forwarded" { format!("for={claim}") } else { claim.to_string() }
    };
    let (greedy, named) = (limited.address(), limited.address());
    let mut asked = limited.drained(greedy, limited.slow_quota, slow).await?;
    for field in CLAIMS {
        let claims = || slow().header(field, value(field, limited.address()));
        asked.extend(limited.row(greedy, SOME, claims).await?);
        let trusted = limited.within("header-trusted", limited.slow_quota, &asked);
        trusted.map_err(|finding| finding.map(|found| found.with("field", field)))?;
    }
    // Somebody else's is not spent in their name.
    let all_claims = || {
        let with = |request: Request, field| request.header(field, value(field, named));
        CLAIMS.into_iter().fold(slow(), with)
    };
    limited.row(greedy, limited.slow_quota.burst, all_claims).await?;
    let row = limited.row(named, SOME, slow).await?;
    if passed(&row) >= SOME {
        return Ok(());
    }
    Err(limited
        .found("named-pays", limited.slow_quota)
        .compared(format!("{SOME} of {SOME}"), passed(&row))
        .with("sent", SOME)
        .with("passed", passed(&row))
        .with("named", named.to_string())
        .fail())
}

/// Limits are those that a route names: where none is named there is none, two have buckets
/// of their own, one has the same for all of its routes, and where two are named both
/// are asked.
pub async fn as_routes_say(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    none_where_none_is_named(&limited).await?;

    let slow = || limited.get_below(&limited.slow);
    let from = limited.address();
    let asked = limited.drained(from, limited.slow_quota, slow).await?;
    let row = limited.row(from, SOME, || limited.get()).await?;
    if passed(&row) < SOME {
        return Err(limited
            .found("limits-share", limited.quota)
            .compared(format!("{SOME} of {SOME}"), passed(&row))
            .with("sent", SOME)
            .with("passed", passed(&row))
            .with("prefix", &*limited.slow)
            .fail());
    }

    let no_more = async |from: IpAddr, mut asked: Vec<Asked>, prefix: &str, id: &'static str| {
        asked.extend(limited.row(from, SOME, || limited.get_below(prefix)).await?);
        let within = limited.within(id, limited.slow_quota, &asked);
        within.map_err(|finding| finding.map(|found| found.with("prefix", prefix)))
    };
    no_more(from, asked, &limited.again, "counts-by-route").await?;
    // Somebody else, who has all of the first limit, and nothing of the second.
    let from = limited.address();
    let asked = limited.drained(from, limited.slow_quota, slow).await?;
    no_more(from, asked, &limited.both, "one-limit-asked").await
}

async fn none_where_none_is_named(limited: &Limited<'_>) -> Outcome {
    // As many as neither limit would let through, however slow the machine is.
    let count = limited.slow_quota.burst + SOME * 2;
    let free = || limited.get_below(&limited.free);
    let row: Vec<Asked> = limited.at_once(limited.address(), count, free).await?;
    if passed(&row) == count {
        return Ok(());
    }
    Err(limited
        .found("limits-every-route", limited.quota)
        .compared(format!("{count} of {count}"), passed(&row))
        .with("prefix", &*limited.free)
        .fail())
}
