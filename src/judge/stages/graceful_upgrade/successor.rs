//! The process that takes over, started beside the one that runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::setup::{LOOK_EVERY, Setup, holds, milliseconds};
use crate::backends::recording::RecordingBackend;
use crate::judge::client::Trouble;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::stage::Outcome;

/// How long a program may take until it is ready to be told of its successor: it is asked all
/// the same.
const TO_MEET: Duration = Duration::from_secs(2);

/// How long after SIGQUIT the successor may take until it listens. Pingora's way takes one
/// second, or two.
const TO_TAKE_OVER: Duration = Duration::from_secs(4);

/// How long after SIGQUIT the first process may go on accepting. Pingora's takes five seconds,
/// or six.
const TO_LET_GO: Duration = Duration::from_millis(7500);

/// The process that takes over, and a backend of its own, by which it is known who answers.
#[derive(Debug)]
pub struct Successor<'a> {
    /// The process.
    pub running: Running<'a>,
    /// Its backend.
    pub backend: RecordingBackend,
    asked: Instant,
}

// === impl Successor ===

impl<'a> Successor<'a> {
    /// Starts it beside the first, which is then told so, and waits until it has taken over
    /// all of its sockets.
    ///
    /// # Errors
    ///
    /// It did not, or otherwise than so that nobody notices.
    pub async fn takes_over(setup: &Setup<'a>) -> Result<Self, Finding> {
        let backend = setup.scene.backends_named("the successor's", 1)?.remove(0);
        holds(&backend, &setup.gate);
        let file = setup.plan.file(setup.running.listen, backend.address());
        let running =
            setup.scene.run_beside(&setup.running, &file, &[("LAB_UPGRADE", "1")]).await?;
        let mut successor = Self { running, backend, asked: Instant::now() };
        let before = setup.running.sockets();
        let met = successor.can_be_met(setup).await?;
        if successor.running.listens_at(successor.running.listen)? {
            // The first has not been told yet, so both listen now.
            successor.on_same(setup, before.as_deref(), "another-socket")?;
        }
        successor.asked = Instant::now();
        setup.running.quit().await?;
        successor.listens(setup).await?;
        let first_listens = setup.running.listens_at(setup.running.listen)?;
        let id = if first_listens { "another-socket" } else { "gap" };
        successor.on_same(setup, before.as_deref(), id)?;
        if met {
            return Ok(successor);
        }
        let socket = setup.plan.socket.as_ref().map(|path| path.display().to_string());
        let socket = socket.unwrap_or_default();
        Err(successor
            .found(setup, "socket-elsewhere")
            .compared(format!("a Unix socket at {socket}"), "none there at any time")
            .with("socket", socket)
            .fail())
    }

    /// Waits until there is a socket to meet at, or the successor listens already; whether
    /// there is one.
    async fn can_be_met(&self, setup: &Setup<'_>) -> Result<bool, Finding> {
        loop {
            if setup.plan.socket.as_ref().is_some_and(|path| path.exists()) {
                return Ok(true);
            }
            self.lives(setup)?;
            let late = self.asked.elapsed() >= TO_MEET;
            if late || self.running.listens_at(self.running.listen)? {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// It listens on the sockets that the first had before, and on no others.
    fn on_same(
        &self,
        setup: &Setup<'_>,
        before: Option<&[(SocketAddr, u32)]>,
        id: &'static str,
    ) -> Outcome {
        let after = self.running.sockets();
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        let number = |sockets: &[(SocketAddr, u32)], wanted: &SocketAddr| {
            sockets.iter().find(|(address, _)| address == wanted).map(|(_, number)| *number)
        };
        let other = addresses(setup).into_iter().find(|one| {
            let (old, new) = (number(before, one), number(&after, one));
            old.is_some() && new.is_some() && old != new
        });
        let Some(address) = other else { return Ok(()) };
        Err(self
            .found(setup, id)
            .compared("the same socket", format!("another one at {address}"))
            .with("address", address.to_string())
            .with("refused", 0)
            .fail())
    }

    /// Waits until it listens at all of the first one's addresses.
    async fn listens(&self, setup: &Setup<'_>) -> Outcome {
        loop {
            self.lives(setup)?;
            let late = self.asked.elapsed() >= TO_TAKE_OVER;
            // Before the look at the successor: who has the sockets then does not matter.
            let first_listens = setup.running.listens_at(setup.running.listen)?;
            let there = self.running.listens_on()?;
            let missing = addresses(setup).into_iter().find(|wanted| !there.contains(wanted));
            let Some(missing) = missing else { return Ok(()) };
            // Sockets that are on their way between two processes are nobody's, and clients
            // can come all the same.
            if !first_listens
                && matches!(setup.running.client().connect().await, Err(Trouble::Refused))
            {
                return Err(self
                    .found(setup, "gap")
                    .compared("somebody listens all the time", "a connection was refused")
                    .with("address", setup.running.listen.to_string())
                    .with("refused", 1)
                    .fail());
            }
            if late {
                let limit = TO_TAKE_OVER.as_millis();
                return Err(self
                    .found(setup, "does-not-take-over")
                    .compared(
                        format!("the successor listens on {missing}"),
                        format!("it does not, {limit} ms after SIGQUIT"),
                    )
                    .with("address", missing.to_string())
                    .with("after_ms", milliseconds(TO_TAKE_OVER))
                    .timed()
                    .fail());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// It has not ended.
    fn lives(&self, setup: &Setup<'_>) -> Outcome {
        match self.running.exit() {
            None => Ok(()),
            Some(exit) => {
                let said = self.running.last_lines().first().cloned();
                Err(self
                    .found(setup, "successor-ends")
                    .compared("the successor runs", exit)
                    .with("said", said.unwrap_or_else(|| "nothing".to_owned()))
                    .fail())
            }
        }
    }

    /// Waits until the first process accepts nobody any more, or has ended.
    ///
    /// # Errors
    ///
    /// It goes on accepting.
    pub async fn first_lets_go(&self, setup: &Setup<'_>) -> Outcome {
        if setup.stops_listening(self.asked + TO_LET_GO).await? {
            return Ok(());
        }
        let limit = TO_LET_GO.as_millis();
        Err(self
            .found(setup, "old-process-stays")
            .compared(
                "the first process has stopped listening",
                format!("it listens {limit} ms after SIGQUIT"),
            )
            .with("still", "accepts clients")
            .with("after_ms", milliseconds(TO_LET_GO))
            .timed()
            .fail())
    }

    /// A diagnosis about both processes.
    pub fn found(&self, setup: &Setup<'_>, id: &'static str) -> Diagnosis {
        let exit = self.running.exit();
        let exit = exit.map_or_else(|| "it runs on".to_owned(), |exit| exit.to_string());
        setup
            .found(id)
            .with("successor", exit)
            .with("successor_output", self.running.last_lines())
            .repeat(setup.by_hand("SIGQUIT"))
    }
}

/// Where clients come.
fn addresses(setup: &Setup<'_>) -> Vec<SocketAddr> {
    let secure = setup.plan.secure.as_ref().map(|(address, _)| *address);
    std::iter::once(setup.running.listen).chain(secure).collect()
}
