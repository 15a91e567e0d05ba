//! Lengths of time, as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::Invalid;
use super::written::written_as_string;

/// The shortest length of time that a setting may have; what passes quicker is no
/// limit and no interval.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest length of time that a setting may have: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A length of time from a millisecond up to 30 days, written like `30s`, `500ms`
/// or `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

written_as_string!(Span, "Span", "A length of time, from 1ms to 30days", "1m 30s");

impl Span {
    /// A length of time, unless it is shorter than a millisecond or longer than 30 days.
    pub fn new(duration: Duration) -> Option<Self> {
        (SHORTEST..=LONGEST).contains(&duration).then_some(Self(duration))
    }

    /// A default in whole seconds.
    pub(super) const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length of time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let duration = humantime::parse_duration(text).map_err(|error| {
            Invalid(format!("\"{text}\" is no length of time ({error}): write 30s, 500ms or 1m"))
        })?;
        Self::new(duration)
            .ok_or_else(|| Invalid(format!("\"{text}\" is out of range: use 1ms to 30days")))
    }
}

impl TryFrom<String> for Span {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_lengths_of_time() {
        assert_eq!("30s".parse::<Span>().unwrap().get(), Duration::from_secs(30));
        assert_eq!("1m 30s".parse::<Span>().unwrap().get(), Duration::from_secs(90));
        assert_eq!("500ms".parse::<Span>().unwrap().to_string(), "500ms");
    }

    #[test]
    fn what_would_never_or_always_pass_is_refused() {
        for text in
            ["0s", "0ms", "999us", "31days", "99999999999999999999s", "-1s", "30", "", "soon"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
