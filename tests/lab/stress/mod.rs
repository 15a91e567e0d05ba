//! Long runs: what holds for a request must hold for an hour of them.
//!
//! Each lasts a few seconds here, and as long as `PINGORA_LAB_STRESS` says in
//! seconds otherwise; `tests/stress.sh` runs them for a minute each, with the full
//! number of clients, and prints what was measured.

mod deaths;
mod descriptors;
mod idle;
mod load;
mod process;
mod reloads;
mod slow_headers;
mod uploads;

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::support::say;

/// The length of a full run.
const FULL: u64 = 60;

/// In seconds.
fn seconds() -> u64 {
    match std::env::var("PINGORA_LAB_STRESS") {
        Ok(text) => text.parse().expect("PINGORA_LAB_STRESS is a number of seconds"),
        Err(_) => 4,
    }
}

/// How long a run lasts.
pub fn length() -> Duration {
    Duration::from_secs(seconds())
}

fn is_full() -> bool {
    seconds() >= FULL
}

/// How many of something a run has, out of those of a full one.
fn count(full: usize) -> usize {
    full * usize::try_from(seconds().min(FULL)).expect("small") / FULL as usize
}

/// One run at a time, so that they do not measure each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of the table of what was measured.
pub fn measured(run: &str, what: &str, value: impl Display, bound: &str) {
    say(&format!("measured | {run} | {what} | {value} | {bound}"));
}
