//! Whether a program that should not start does not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::guarded::Guarded;
use super::order::ExitKind;
use super::sockets::Listeners;

/// How often to look who listens.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One who listens for so long means to: who finds out meanwhile that the file is no
/// good has found out long before.
const MEANS_TO: Duration = Duration::from_millis(500);

/// What became of a program that should have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// How it ended; none if it did not.
    pub exit: Option<ExitKind>,
    /// Where it was seen to listen at some time, in the order in which it was seen.
    pub listened: Vec<SocketAddr>,
}

/// Waits until the program has ended, or listens and goes on doing so, or patience is
/// over.
///
/// # Errors
///
/// The judge could not watch it, and why.
pub async fn wait_until_ended(program: &Guarded, patience: Duration) -> Result<Stay, String> {
    let begun = Instant::now();
    let mut listens_since = None;
    let mut listened = Vec::new();
    loop {
        if let Some(exit) = program.exited() {
            // What it has written is read by then.
            program.wait_exited().await;
            return Ok(Stay { exit: Some(exit), listened });
        }
        let look = Instant::now();
        let listeners = listening(program)?;
        let cost = look.elapsed();
        if listeners.is_empty() {
            listens_since = None;
        }
        for address in listeners {
            listens_since.get_or_insert(look);
            if !listened.contains(&address) {
                listened.push(address);
            }
        }
        let means_to = listens_since.is_some_and(|since: Instant| since.elapsed() >= MEANS_TO);
        if means_to || begun.elapsed() >= patience {
            return Ok(Stay { exit: None, listened });
        }
        let ended = tokio::time::timeout(LOOK_EVERY.max(cost * 3), program.wait_exited()).await;
        if ended == Ok(None) {
            return Err("the guard was killed".to_owned());
        }
    }
}

/// Every address on which the program listens now, in order.
///
/// # Errors
///
/// The system does not say.
pub fn listening(program: &Guarded) -> Result<Vec<SocketAddr>, String> {
    Listeners::now(program.guard_pid(), program.pid()).map(|listeners| listeners.program)
}
