//! Numbers in paths and queries, read as httpbin reads them.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::super::call::Call;
use super::Refusal;

/// The only path parameter, a whole number that is not negative; any other
/// text is another path, which does not exist.
pub(super) struct Number(pub u64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Refusal::NotFound)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::NotFound);
        }
        // All digits: what does not fit is larger than every limit.
        Ok(Self(text.parse().unwrap_or(u64::MAX)))
    }
}

/// A whole number in the query, or the default where it is not given.
pub(super) fn whole(call: &Call, name: &str, default: i64) -> Result<i64, Refusal> {
    optional_whole(call, name).map(|number| number.unwrap_or(default))
}

/// A whole number in the query, if it is given.
pub(super) fn optional_whole(call: &Call, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.arg(name) else { return Ok(None) };
    match text.trim().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Refusal::bad_request(format!("{name} must be a whole number"))),
    }
}

/// Seconds in the query, with a fraction if wanted and at most `limit`.
pub(super) fn seconds(
    call: &Call,
    name: &str,
    default: Duration,
    limit: Duration,
) -> Result<Duration, Refusal> {
    call.arg(name).map_or(Ok(default), |text| parse_seconds(name, &text, limit))
}

/// The same from a path.
pub(super) fn parse_seconds(name: &str, text: &str, limit: Duration) -> Result<Duration, Refusal> {
    let wanted = text.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
    let Some(wanted) = wanted else {
        return Err(Refusal::bad_request(format!("{name} must be a number of seconds, 0 or more")));
    };
    Ok(Duration::from_secs_f64(wanted.min(limit.as_secs_f64())))
}
