//! Clients that come all the time while one process takes over from another: none of them
//! notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future;

use super::setup::{LONG, Plan, Setup};
use super::successor::Successor;
use crate::backends::recording::Log;
use crate::judge::client::{Answer, Connection, Cut, Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The clients: so many that use each connection once, and so many that keep theirs.
const FRESH: usize = 3;
const KEPT: usize = 2;

/// The pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(6);

/// How long clients come before the successor, and behind the end of the first process.
const BESIDE: Duration = Duration::from_millis(150);

/// How long the end of the first process is waited for; nothing is judged by it here.
const TO_END: Duration = Duration::from_secs(2);

/// What became of a client's requests.
#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    /// Connections that were closed before a byte of an answer came, over which no request had
    /// come to a backend: the client may come again, as RFC 9110 (9.2.2) says.
    closed: u64,
    first: Option<Failure>,
}

/// A request that failed, and nobody could help it.
#[derive(Debug)]
struct Failure {
    id: &'static str,
    asked: String,
    how: String,
    /// Whether it only took too long.
    timed: bool,
}

/// Clients of both kinds, from before until behind the upgrade.
pub async fn no_failures(scene: &Scene) -> Outcome {
    let plan = Plan::drawn(scene, LONG).with_successor(scene)?;
    let setup = Setup::start_with(scene, plan).await?;
    let over = AtomicBool::new(false);
    let clients = (0..FRESH + KEPT).map(|number| client(&setup, number, number >= FRESH, &over));
    let script = async {
        tokio::time::sleep(BESIDE).await;
        let outcome = upgrade(&setup).await;
        over.store(true, Ordering::Relaxed);
        outcome
    };
    let (tallies, upgraded) = future::join(future::join_all(clients), script).await;
    let answered: u64 = tallies.iter().map(|tally| tally.answered).sum();
    let refused = tallies.iter().filter_map(|tally| tally.first.as_ref());
    let refused = refused.filter(|failure| failure.id == "gap").count();
    let successor = upgraded.map_err(|finding| {
        finding.map(|found| found.with("answered", answered).with("refused", refused))
    })?;
    let failure = tallies.into_iter().find_map(|tally| tally.first);
    let Some(Failure { id, asked, how, timed }) = failure else { return Ok(()) };
    let found = successor
        .found(&setup, id)
        .compared("an answer to every request", format!("{asked}: {how}"))
        .with("asked", asked)
        .with("how", how)
        .with("answered", answered)
        .with("refused", refused);
    Err(if timed { found.timed().fail() } else { found.fail() })
}

async fn upgrade<'a>(setup: &Setup<'a>) -> Result<Successor<'a>, Finding> {
    let successor = Successor::takes_over(setup).await?;
    successor.first_lets_go(setup).await?;
    setup.running.exits_within(TO_END).await;
    tokio::time::sleep(BESIDE).await;
    Ok(successor)
}

/// Sends requests until it is over, or one has failed.
async fn client(setup: &Setup<'_>, number: usize, keeps: bool, over: &AtomicBool) -> Tally {
    let client = setup.running.client();
    let mut tally = Tally::default();
    let mut kept = None;
    let mut count = 0_u64;
    while !over.load(Ordering::Relaxed) && tally.first.is_none() {
        count += 1;
        let request = setup.running.request("GET", format!("/anything/{number}/{count}"));
        let used = kept.is_some();
        let (answer, connection) = match kept.take() {
            Some(connection) => exchange(connection, &request).await,
            None => match client.connect().await {
                Ok(connection) => exchange(connection, &request).await,
                Err(trouble) => (Err(trouble), None),
            },
        };
        kept = connection.filter(|_| keeps);
        tally.note(setup, &request, answer, used);
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

/// The answer, and the connection where it may be used again.
async fn exchange(
    mut connection: Connection,
    request: &Request,
) -> (Result<Answer, Trouble>, Option<Connection>) {
    let answer = connection.send(request).await;
    let reusable = answer.as_ref().is_ok_and(|answer| answer.reusable);
    (answer, reusable.then_some(connection))
}

// === impl Tally ===

impl Tally {
    /// Takes in what became of a request, which went over a connection that was used before or
    /// not.
    fn note(
        &mut self,
        setup: &Setup<'_>,
        request: &Request,
        answer: Result<Answer, Trouble>,
        used: bool,
    ) {
        let came = |log: &Log| log.requests().any(|one| one.target == request.target);
        let id = match &answer {
            Ok(answer) if answer.status == 200 && answer.text() == request.target => {
                self.answered += 1;
                return;
            }
            Ok(_) => "errors-meanwhile",
            Err(Trouble::Refused) => "gap",
            Err(_) if setup.scene.recorder.read(came) => "request-lost",
            Err(Trouble::EmptyReply | Trouble::Reset) => {
                // A connection that is kept may be closed at any time. Of the others one can
                // meet the moment at which the first process lets go.
                self.closed += u64::from(!used);
                if self.closed <= 1 {
                    return;
                }
                "connections-dropped"
            }
            Err(_) => "request-lost",
        };
        let how = match &answer {
            Ok(answer) => format!("status {}", answer.status),
            Err(trouble) => trouble.to_string(),
        };
        let asked = format!("{} {}", request.method, request.target);
        let timed = matches!(
            answer,
            Err(Trouble::NoAnswer { .. }
                | Trouble::ConnectTimedOut { .. }
                | Trouble::Incomplete { because: Cut::PatienceOver(_), .. })
        );
        self.first = Some(Failure { id, asked, how, timed });
    }
}
