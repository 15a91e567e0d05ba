//! Numbers that have bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// A number of things, from 1 to 1,000,000.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "i64")]
#[schemars(with = "u32", extend("minimum" = 1, "maximum" = 1_000_000))]
pub struct Count(u32);

/// A backend's share of the requests, relative to the others', from 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64")]
#[schemars(with = "u16", extend("minimum" = 1, "maximum" = 1000))]
pub struct Weight(u16);

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64", extend("minimum" = 0.0, "maximum" = 1.0))]
pub struct Share(f64);

/// A number of worker threads, from 1 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64")]
#[schemars(with = "u16", extend("minimum" = 1, "maximum" = 1024))]
pub struct Threads(usize);

// === impl Count ===

impl Count {
    /// A default.
    pub(super) const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Count {
    type Error = Invalid;

    fn try_from(count: i64) -> Result<Self, Invalid> {
        match u32::try_from(count) {
            Ok(count @ 1..=1_000_000) => Ok(Self(count)),
            _ => Err(Invalid(format!("{count} is out of range: use a number from 1 to 1000000"))),
        }
    }
}

// === impl Weight ===

impl Weight {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i64> for Weight {
    type Error = Invalid;

    fn try_from(weight: i64) -> Result<Self, Invalid> {
        match u16::try_from(weight) {
            Ok(weight @ 1..=1000) => Ok(Self(weight)),
            Ok(0) => Err(Invalid(
                "a backend of weight 0 would get nothing: use 1 to 1000, or remove it".to_owned(),
            )),
            _ => Err(Invalid(format!("{weight} is no weight: use a number from 1 to 1000"))),
        }
    }
}

// === impl Share ===

impl Share {
    /// A default in hundredths.
    pub(super) const fn from_percent(percent: u8) -> Self {
        Self(percent as f64 / 100.0)
    }

    /// The part, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = Invalid;

    fn try_from(share: f64) -> Result<Self, Invalid> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(Invalid(format!("{share} is no share: use a number from 0 to 1, like 0.2")))
        }
    }
}

// === impl Threads ===

impl Threads {
    /// As many as the machine has processors for this process.
    pub fn of_machine() -> Self {
        Self(std::thread::available_parallelism().map_or(1, usize::from).min(1024))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<i64> for Threads {
    type Error = Invalid;

    fn try_from(threads: i64) -> Result<Self, Invalid> {
        match usize::try_from(threads) {
            Ok(threads @ 1..=1024) => Ok(Self(threads)),
            _ => Err(Invalid(format!("{threads} threads: use a number from 1 to 1024"))),
        }
    }
}

impl std::str::FromStr for Threads {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let threads: i64 = text
            .parse()
            .map_err(|_| Invalid(format!("\"{text}\" is no number: use one from 1 to 1024")))?;
        threads.try_into()
    }
}
