//! How many requests go through.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded::Count;
use super::validate::{Misfit, at, misfit};
use super::{FieldName, Span};

/// How many requests of one client go through. After a pause `burst` of them may come
/// at once; then one each `per` / `requests`, however they are spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// How many requests go through in each `per`.
    pub requests: Count,
    /// The time that `requests` are for.
    #[serde(default = "RateLimit::second")]
    pub per: Span,
    /// How many may come at once after a pause; as many as `requests` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Count>,
    /// Whose requests are counted together.
    #[serde(default)]
    pub by: LimitBy,
    /// How many clients are kept count of at a time. Each takes 48 bytes.
    #[serde(default = "RateLimit::many")]
    pub clients: Count,
    /// Which answers tell of the limit in the fields `RateLimit` and
    /// `RateLimit-Policy`; `Retry-After` is in every refusal.
    #[serde(default)]
    pub fields: LimitFields,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LimitBy {
    /// The client's address, of IPv6 the network of 64 bits.
    #[default]
    ClientAddress,
    /// The first field of this name; the client's address where there is none.
    Header(FieldName),
    /// Whom the route's `auth` has found the client to be.
    Identity,
}

/// Which answers tell of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitFields {
    /// Those to refused requests.
    #[default]
    Refused,
    /// All.
    All,
    /// None.
    None,
}

// === impl RateLimit ===

impl RateLimit {
    fn second() -> Span {
        Span::from_secs(1)
    }

    fn many() -> Count {
        Count::new(100_000)
    }

    /// The time between two requests of a client that sends as many as it may,
    /// rounded up to nanoseconds.
    pub fn interval(&self) -> Duration {
        let nanos = self.per.get().as_nanos().div_ceil(self.requests.get().into());
        // A span is at most 30 days.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many may come at once.
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.requests).get()
    }

    /// What is wrong that no single value shows.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        let interval = self.interval();
        if interval < SHORTEST {
            return Some(misfit(
                at!["requests"],
                "it lets through more than a request each µs: leave it out, or lower requests",
            ));
        }
        if interval.saturating_mul(self.burst()) > LONGEST {
            return Some(misfit(
                at!["burst"],
                "after a burst it would take more than a year until the next: lower burst",
            ));
        }
        None
    }
}

/// The shortest time between two requests: what is shorter is not exact to
/// nanoseconds, and no limit.
const SHORTEST: Duration = Duration::from_micros(1);

/// The longest time that a whole burst stands for.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
