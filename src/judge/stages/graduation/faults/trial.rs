//! A client leaves that has the one request by which a breaker decides; and clients that leave
//! say nothing of a backend.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{self, Either};

use super::backends_fail::holding;
use super::bad_clients::HAD_IT;
use super::deeds::Mood;
use super::load::Wish;
use super::site::{FAILURES, OPEN_FOR, Phase, Pool, RETURNS, Site};
use crate::backends::recording::{Entry, Gate, Log, Received};
use crate::judge::client::{Connection, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::stage::Outcome;

/// How many clients leave at first: more than open the breakers of both backends.
pub const LEAVE: usize = 4 * FAILURES;

/// How long the end of a connection may take to be seen by a backend.
const SEEN: Duration = Duration::from_secs(1);

/// The other pool's backends are for nobody else meanwhile.
///
/// # Errors
///
/// A client that left has cost a backend.
pub async fn trial(site: &Site<'_>) -> Outcome {
    site.turn(Phase::Trial).await;
    let pool = &site.pools.pair;
    let hold = holding(&Gate::closed());
    site.ledger.always(None, &format!("{}/left-", pool.prefix), Arc::clone(&hold));
    let wishes: Vec<_> =
        (0..LEAVE).map(|nth| Wish::to(site, pool, "GET", format!("left-{nth}"))).collect();
    site.leave(&wishes, "waited for its answer").await?;
    nobody_blamed(site, pool, "abort-blamed-on-backend").await?;

    // From here on no client that leaves is to blame.
    site.turn(Phase::Opens).await;
    let bad = &pool.backends[1];
    site.ledger.set(bad, Mood::Ill);
    if !opens(site).await {
        // Stage 12 says why.
        site.ledger.set(bad, Mood::Well);
        return Ok(());
    }
    tokio::time::sleep(OPEN_FOR).await;
    site.ledger.always(Some(bad), &format!("{}/trial-", pool.prefix), hold);
    let Some(target) = on_trial(site).await else {
        site.ledger.set(bad, Mood::Well);
        return Ok(());
    };
    site.sees_gone(&HashSet::from([target])).await;
    site.ledger.set(bad, Mood::Well);
    returns(site).await
}

/// Both backends of a pool that nobody else comes to have their turns.
///
/// # Errors
///
/// One has not.
pub async fn nobody_blamed(site: &Site<'_>, pool: &Pool, id: &'static str) -> Outcome {
    let before: Vec<_> = pool.backends.iter().map(|one| site.ledger.served(one)).collect();
    let mut answered = 0;
    for nth in 0..4 {
        let wish = Wish::to(site, pool, "GET", format!("behind-{nth}"));
        answered += usize::from(site.asks(wish, None).await.0.served());
    }
    let without =
        pool.backends.iter().zip(before).find(|(one, before)| site.ledger.served(one) == *before);
    let Some((backend, _)) = without else { return Ok(()) };
    Err(site
        .found(id)
        .compared("4 requests at both backends", format!("{answered} answered, none by one"))
        .with("seen", format!("none of 4 requests at {}", backend.name()))
        .with("request", format!("GET {}/behind-0", pool.prefix))
        .with("during", site.phase().1.words())
        .fail())
}

/// Sends requests until the bad one gets none any more; whether that comes.
async fn opens(site: &Site<'_>) -> bool {
    let pool = &site.pools.pair;
    let reached = || {
        let name = pool.backends[1].name();
        site.scene.recorder.read(|log| log.requests_to(name).count())
    };
    let mut without = 0;
    for nth in 0..6 * FAILURES {
        let before = reached();
        site.ask(Wish::to(site, pool, "POST", format!("opens-{nth}")), None).await;
        without = if reached() > before { 0 } else { without + 1 };
        if without == 3 {
            return true;
        }
    }
    false
}

/// Sends requests until one comes to the bad one, which does not answer it, and leaves it: its
/// target.
async fn on_trial(site: &Site<'_>) -> Option<String> {
    let pool = &site.pools.pair;
    let (name, begun) = (pool.backends[1].name(), Instant::now());
    for nth in 0.. {
        let wish = Wish::to(site, pool, "GET", format!("trial-{nth}"));
        let target = wish.request.target.clone();
        let mut connection = site.running.client().connect().await.ok()?;
        connection.write(&wish.request.to_bytes()).await.ok()?;
        let came = |log: &Log| log.requests_to(name).any(|one| one.target == target).then_some(());
        let came = site.scene.recorder.wait_for(Instant::now() + RETURNS, came);
        let answered = connection.read_answer("GET");
        let on_trial = matches!(future::select(pin!(came), pin!(answered)).await, Either::Left(_));
        connection.abort();
        let how = if on_trial { "waited for its answer" } else { HAD_IT };
        site.leaves(target.clone(), how);
        if on_trial {
            return Some(target);
        }
        if begun.elapsed() > RETURNS {
            return None;
        }
    }
    None
}

/// Sends requests until the one that is well again has one.
async fn returns(site: &Site<'_>) -> Outcome {
    let pool = &site.pools.pair;
    let (bad, begun) = (&pool.backends[1], Instant::now());
    let before = site.ledger.served(bad);
    for nth in 0.. {
        site.ask(Wish::to(site, pool, "GET", format!("returns-{nth}")), None).await;
        if site.ledger.served(bad) > before {
            return Ok(());
        }
        if begun.elapsed() > RETURNS {
            break;
        }
        tokio::time::sleep(super::site::PAUSE).await;
    }
    Err(site
        .found("trial-lost-with-client")
        .compared(format!("a request at {}", bad.name()), "none")
        .with("backend", bad.name())
        .with("open_ms", u64::try_from(OPEN_FOR.as_millis()).unwrap_or(u64::MAX))
        .with("seconds", RETURNS.as_secs())
        .timed()
        .fail())
}

/// Those of these requests whose connection to a backend is open still.
pub fn open(log: &Log, is_one: impl Fn(&Received) -> bool) -> impl Iterator<Item = &Received> {
    let ended: HashSet<_> = log
        .entries()
        .iter()
        .filter_map(|entry| match entry {
            Entry::PeerFinished(finished) => Some(finished.connection),
            Entry::Closed(closed) => Some(closed.connection),
            _ => None,
        })
        .collect();
    log.requests().filter(move |one| is_one(one) && !ended.contains(&one.connection))
}

impl Site<'_> {
    /// Sends these at the same time; once backends have them all, their clients are gone. Waits
    /// until the backends have seen that, or for a while.
    ///
    /// # Errors
    ///
    /// The program does not let them come.
    pub async fn leave(&self, wishes: &[Wish], how: &'static str) -> Outcome {
        let send = |wish| async move {
            let wish: &Wish = wish;
            self.sends(wish, &wish.request.to_bytes()).await
        };
        let sent = wishes.iter().map(send);
        // Made beforehand, or the compiler does not see that the whole may be sent elsewhere.
        let sent: Vec<_> = sent.collect();
        let connections = future::try_join_all(sent).await?;
        let targets = wishes.iter().map(|wish| wish.request.target.clone()).collect();
        self.received(&targets).await;
        connections.into_iter().for_each(Connection::abort);
        targets.iter().for_each(|target| self.leaves(target.clone(), how));
        self.sees_gone(&targets).await;
        Ok(())
    }

    /// Waits until the backends have seen the clients of these leave, or for a while.
    pub async fn sees_gone(&self, targets: &HashSet<String>) {
        let gone = |log: &Log| open(log, |one| targets.contains(&one.target)).next().is_none();
        self.logged(SEEN, gone).await;
    }

    /// A connection over which these bytes of a request went.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn sends(&self, wish: &Wish, bytes: &[u8]) -> Result<Connection, Finding> {
        let sent = async {
            let mut connection = self.running.client().connect().await?;
            let written = connection.write(bytes).await;
            written.map_err(|error| Trouble::Connect(error.to_string()))?;
            Ok(connection)
        };
        match sent.await {
            Ok(connection) => Ok(connection),
            Err(trouble) => Err(self.running.trouble(&trouble, &wish.request).await),
        }
    }
}
