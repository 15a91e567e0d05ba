//! Requests without a pause while the file changes again and again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future;
use tokio::time::MissedTickBehavior;

use super::live::Live;
use crate::judge::client::{Answer, Connection, Trouble};
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::Finding;
use crate::judge::stage::Outcome;

/// How many clients there are. Every other request of each goes over a connection that it has
/// used before.
const CLIENTS: usize = 4;

/// From one change to the next.
pub const EVERY: Duration = Duration::from_millis(10);

/// The pause between two requests of one client: of all of them together several come between
/// two changes, and the machine has time for more than them.
const BREATH: Duration = Duration::from_millis(6);

/// What came of one request: the answer, or what there was instead.
pub type Heard = Result<Answer, Trouble>;

/// Puts these files in the place of the program's, one after the other, and waits for what
/// `last` waits for. Says what became of all requests that came below the prefix meanwhile.
///
/// # Errors
///
/// A file could not be changed, or what `last` finds.
pub async fn storm(
    live: &Live<'_>,
    prefix: &str,
    files: impl Iterator<Item = ConfigFile>,
    last: impl Future<Output = Outcome>,
) -> Result<(Vec<Heard>, Outcome), Finding> {
    let over = AtomicBool::new(false);
    let changes = async {
        let changed = async {
            let mut due = tokio::time::interval(EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for file in files {
                due.tick().await;
                live.replace(&file)?;
            }
            Ok(())
        };
        let done = changed.await;
        let seen = match done {
            Ok(()) => Ok(last.await),
            Err(finding) => Err(finding),
        };
        over.store(true, Relaxed);
        seen
    };
    let clients = future::join_all((0..CLIENTS).map(|_| client(live, prefix, &over)));
    let (seen, heard) = future::join(changes, clients).await;
    Ok((heard.into_iter().flatten().collect(), seen?))
}

async fn client(live: &Live<'_>, prefix: &str, over: &AtomicBool) -> Vec<Heard> {
    let client = live.client();
    let mut connection: Option<Connection> = None;
    let mut heard = Vec::new();
    while !over.load(Relaxed) {
        let request = live.request(prefix);
        let used = connection.take();
        let kept = used.is_some();
        let answered = async {
            let mut open = match used {
                Some(open) => open,
                None => client.connect().await?,
            };
            let answer = open.send(&request).await?;
            // Used twice.
            if answer.reusable && !kept {
                connection = Some(open);
            }
            Ok(answer)
        };
        heard.push(answered.await);
        tokio::time::sleep(BREATH).await;
    }
    heard
}
