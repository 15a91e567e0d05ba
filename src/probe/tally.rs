//! What a batch adds up to, in memory that does not grow with the batch.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::compare::Difference;
use super::failure::FailureKind;
use super::observe::{BackendSource, Finding, Unknown};
use super::send::{Answered, Record};

/// How many different names (of backends, of headers on each side) are
/// counted apart. A server that makes names up cannot fill the memory; what
/// comes after this many is counted together.
const DISTINCT: usize = 500;

/// Latencies are counted to the microsecond, up to an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// What happened to a header on its way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Added,
    /// It has another value.
    Changed,
    /// It was there before.
    Removed,
}

/// The sums of a batch.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests that got a complete answer, of whatever status.
    pub succeeded: u64,
    /// Requests that got none.
    pub failed: u64,
    /// Answers for each backend.
    pub backends: BTreeMap<(String, BackendSource), u64>,
    /// Answers of which nobody says whose they are.
    pub backend_unknown: u64,
    /// Answers of backends beyond the first 500, which are counted apart.
    pub backend_others: u64,
    /// Answers of each status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures of each kind, with the first one's message.
    pub failures: BTreeMap<FailureKind, (u64, String)>,
    /// Requests whose connection was refused.
    pub refused: u64,
    /// What the proxy did to requests.
    pub request: Headers,
    /// What the proxy did to responses.
    pub response: Headers,
    latency: Histogram<u64>,
    longest: Duration,
}

/// What the proxy did to the headers of one direction.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Answers of which it is known.
    pub known: u64,
    /// Answers of which it is not, and why.
    pub unknown: BTreeMap<Unknown, u64>,
    /// Each header and change, in the order in which they were first seen.
    pub seen: Vec<Seen>,
    /// Headers beyond the first 500, which are counted apart.
    pub others: u64,
}

/// One header and what happened to it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Added, changed or removed.
    pub change: Change,
    /// The name, in lower case.
    pub name: String,
    /// In how many requests.
    pub count: u64,
    /// The value, if it was the same each time: behind the proxy, or of a
    /// removed header before it.
    pub value: Option<String>,
    /// The value before the proxy of a changed header, if it was always the
    /// same.
    pub from: Option<String>,
}

// === impl Tally ===

impl Default for Tally {
    fn default() -> Self {
        Self {
            succeeded: 0,
            failed: 0,
            backends: BTreeMap::new(),
            backend_unknown: 0,
            backend_others: 0,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            refused: 0,
            request: Headers::default(),
            response: Headers::default(),
            latency: Histogram::new_with_max(LONGEST_MICROS, 3).expect("the bounds are valid"),
            longest: Duration::ZERO,
        }
    }
}

impl Tally {
    /// Adds one request.
    pub fn add(&mut self, record: &Record) {
        match &record.outcome {
            Ok(answered) => {
                self.succeeded += 1;
                self.add_answer(answered);
                let micros = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
                self.latency.saturating_record(micros);
                self.longest = self.longest.max(Duration::from_micros(micros));
            }
            Err(failure) => {
                self.failed += 1;
                self.refused += u64::from(failure.refused);
                let message = || (0, failure.message.clone());
                self.failures.entry(failure.kind).or_insert_with(message).0 += 1;
            }
        }
    }

    /// Requests that came to an end, either way.
    pub fn sent(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// The time within which this share of the answers, 0 to 1, was complete;
    /// `None` if there was no answer. Right to three digits.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let micros = self.latency.value_at_quantile(share);
        (self.succeeded > 0).then(|| Duration::from_micros(micros).min(self.longest))
    }

    /// The longest time of an answer, to the microsecond.
    pub fn longest(&self) -> Option<Duration> {
        (self.succeeded > 0).then_some(self.longest)
    }

    /// How many answers have a status of 400 or above.
    pub fn error_statuses(&self) -> u64 {
        self.statuses.range(400..).map(|(_, count)| count).sum()
    }

    fn add_answer(&mut self, answered: &Answered) {
        *self.statuses.entry(answered.status).or_default() += 1;
        self.request.add(&answered.request);
        self.response.add(&answered.response);
        let Some(backend) = &answered.backend else {
            self.backend_unknown += 1;
            return;
        };
        let key = (backend.name.clone(), backend.source);
        let full = self.backends.len() >= DISTINCT;
        match self.backends.get_mut(&key) {
            Some(count) => *count += 1,
            None if full => self.backend_others += 1,
            None => {
                self.backends.insert(key, 1);
            }
        }
    }
}

// === impl Headers ===

impl Headers {
    fn add(&mut self, finding: &Finding) {
        match finding {
            Ok((difference, _)) => {
                self.known += 1;
                self.add_difference(difference);
            }
            Err(unknown) => *self.unknown.entry(*unknown).or_default() += 1,
        }
    }

    fn add_difference(&mut self, difference: &Difference) {
        let added = difference.added.iter().map(|it| (Change::Added, &it.name, None, &it.value));
        let changed =
            difference.changed.iter().map(|it| (Change::Changed, &it.name, Some(&it.from), &it.to));
        let removed =
            difference.removed.iter().map(|it| (Change::Removed, &it.name, None, &it.value));
        let mut counted: Vec<(Change, &str)> = Vec::new();
        for (change, name, from, value) in added.chain(changed).chain(removed) {
            let again = counted.contains(&(change, name));
            counted.push((change, name));
            let full = self.seen.len() >= DISTINCT;
            let seen = self.seen.iter_mut().find(|it| it.change == change && it.name == *name);
            match seen {
                Some(seen) => {
                    // In how many requests, however often in each.
                    seen.count += u64::from(!again);
                    seen.value = seen.value.take().filter(|same| !again && same == value);
                    seen.from = seen.from.take().filter(|same| !again && Some(same) == from);
                }
                None if full => self.others += 1,
                None => self.seen.push(Seen {
                    change,
                    name: name.clone(),
                    count: 1,
                    value: Some(value.clone()),
                    from: from.cloned(),
                }),
            }
        }
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
