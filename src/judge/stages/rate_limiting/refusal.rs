//! How somebody is refused: with 429, a time after which it helps to come back, and
//! nothing behind it.

use std::time::Duration;

use super::limited::{Asked, Limited};
use crate::backends::recording::Received;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::reached;

/// Nobody has to wait for longer than this for a bucket that fills in a second: what counts
/// in windows may look back at the one before.
const LONGEST_WAIT: u64 = 2;

/// How many more are sent where one was refused.
const MORE: u64 = 12;

/// 429 (RFC 6585, section 4), and how many seconds to wait (RFC 9110, section 10.2.3).
pub async fn answers_429(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let from = limited.address();
    let mut drained = limited.drained(from, limited.quota, || limited.get()).await?;
    let Some(refused) = drained.pop() else { return Ok(()) };
    if refused.answer.status != 429 {
        let status = refused.answer.status;
        return Err(about(&limited, &refused, "refused-otherwise", "429", &status.to_string()));
    }
    let expected = format!("Retry-After: 1 (or {LONGEST_WAIT})");
    let wait = match refused.answer.values("retry-after").as_slice() {
        [] => {
            let actual = "no Retry-After";
            return Err(about(&limited, &refused, "retry-after-missing", &expected, actual));
        }
        [one] => one.trim().parse().ok().filter(|wait| (1..=LONGEST_WAIT).contains(wait)),
        _ => None,
    };
    let said = format!("Retry-After: {}", refused.answer.values("retry-after").join(" | "));
    let Some(wait) = wait else {
        return Err(about(&limited, &refused, "retry-after-untrue", &expected, &said));
    };
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let again = limited.ask(from, limited.get()).await?;
    if again.passed() {
        return Ok(());
    }
    let actual = format!("{said}, and {} after that time", again.answer.status);
    Err(about(&limited, &refused, "retry-after-untrue", "200 after that time", &actual))
}

/// A diagnosis about the answer to a request that was refused.
fn about(
    limited: &Limited<'_>,
    refused: &Asked,
    id: &'static str,
    expected: &str,
    actual: &str,
) -> Finding {
    let head = String::from_utf8_lossy(&refused.answer.raw_head);
    let head: Vec<_> = head.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    limited
        .found(id, limited.quota)
        .compared(expected, actual)
        .with("status", refused.answer.status)
        .with("answer", head)
        .fail()
}

/// Backends receive what was let through, and nothing else.
pub async fn backend_untouched(scene: &Scene) -> Outcome {
    let limited = Limited::start(scene).await?;
    let from = limited.address();
    let slow = || limited.get_below(&limited.slow);
    let mut row = limited.drained(from, limited.slow_quota, slow).await?;
    row.extend(limited.row(from, MORE, slow).await?);
    let refused = row.iter().filter(|one| !one.passed());
    let refused: Vec<_> = refused.map(|one| one.request.target.as_str()).collect();
    let is_one = |received: &Received| refused.contains(&received.path());
    let Some((received, came)) = reached(scene, is_one).await else { return Ok(()) };
    Err(limited
        .found("backend-asked-all-the-same", limited.quota)
        .compared("none of the refused at a backend", format!("{came} of {}", refused.len()))
        .with("refused", refused.len())
        .with("came", came)
        .with("request", format!("GET {}", received.path()))
        .with("backend", &*received.backend)
        .fail())
}
