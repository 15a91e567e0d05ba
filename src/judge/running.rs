//! A program under test that listens, and what a client says to it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Answer, Client, Request, Trouble};
use super::common;
use super::diagnosis::{Diagnosis, Finding};
use super::program::{
    CpuTime, ExitKind, Guarded, StartFailure, listening, serves, sockets, why_ended,
};
use super::scene::Scene;

/// How long the word of a program's end may take to reach us after its sockets
/// have closed.
const WORD_OF_ITS_END: Duration = Duration::from_millis(200);

/// How much later than the first the other listeners may be there.
const ALL_LISTEN: Duration = Duration::from_secs(4);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// How many lines of its output are shown.
const LINES: usize = 12;

/// A program that listens.
#[derive(Debug)]
pub struct Running<'a> {
    scene: &'a Scene,
    program: Arc<Guarded>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its configuration file is, if it was given one.
    pub config: Option<PathBuf>,
}

// === impl Running ===

impl<'a> Running<'a> {
    pub(super) fn new(
        scene: &'a Scene,
        program: Arc<Guarded>,
        listen: SocketAddr,
        config: Option<PathBuf>,
    ) -> Self {
        Self { scene, program, listen, config }
    }

    /// A client of the program.
    pub fn client(&self) -> Client {
        Client::new(self.listen)
    }

    /// A client at another loopback address, such as 127.0.0.2.
    pub fn client_from(&self, address: IpAddr) -> Client {
        self.client().from(address)
    }

    /// A request with `Host`, to be changed and then sent.
    pub fn request(&self, method: &str, target: impl Into<String>) -> Request {
        self.client().request(method, target)
    }

    /// Sends a request over a connection of its own; the answer, or the finding
    /// for what there was instead.
    ///
    /// # Errors
    ///
    /// A finding that every check can come to: no answer, an empty one, a dead
    /// program.
    pub async fn ask(&self, request: &Request) -> Result<Answer, Finding> {
        let sent = self.client().send(request).await;
        match sent {
            Ok(answer) => Ok(answer),
            Err(trouble) => Err(self.trouble(&trouble, request).await),
        }
    }

    /// GET of a target.
    ///
    /// # Errors
    ///
    /// As [`Running::ask`].
    pub async fn get(&self, target: &str) -> Result<Answer, Finding> {
        self.ask(&self.request("GET", target)).await
    }

    /// The finding for a request that was not answered.
    pub async fn trouble(&self, trouble: &Trouble, request: &Request) -> Finding {
        let ended = match trouble {
            Trouble::NoAnswer { .. } => self.program.exited(),
            _ => tokio::time::timeout(WORD_OF_ITS_END, self.program.wait_exited())
                .await
                .ok()
                .flatten(),
        };
        let found = match ended {
            Some(_) => self.why_ended().await,
            None => common::trouble(trouble, request, &self.program.output()),
        };
        let found = match trouble {
            Trouble::NoAnswer { after } => found.map(|found| self.how_far(found, request, *after)),
            _ => found,
        };
        found.map(|found| found.repeat(self.scene.by_hand(request)))
    }

    /// A request was waited for in vain for this time: where it is, says whether the program
    /// holds it back or its backend does.
    fn how_far(&self, found: Diagnosis, request: &Request, waited: Duration) -> Diagnosis {
        let sent = Instant::now().checked_sub(waited + WORD_OF_ITS_END);
        let came = self.scene.recorder.read(|log| {
            let mut of_it = log.requests().filter(|one| one.target == request.target);
            of_it.find(|one| sent.is_none_or(|sent| one.at >= sent)).map(|one| one.backend.clone())
        });
        let Some(trouble) = found.evidence.get("actual").and_then(Value::as_str) else {
            return found;
        };
        let actual = match came {
            Some(backend) => format!("{trouble}, though {backend} had the request"),
            None => format!("{trouble}, and no backend had the request"),
        };
        found.with("actual", actual)
    }

    /// Every address on which the program listens now, in order.
    ///
    /// # Errors
    ///
    /// The system does not say, which is inconclusive.
    pub fn listens_on(&self) -> Result<Vec<SocketAddr>, Finding> {
        listening(&self.program).map_err(|reason| common::our_error("no listeners", &reason))
    }

    /// Whether it listens at this address now.
    ///
    /// # Errors
    ///
    /// As [`Running::listens_on`].
    pub fn listens_at(&self, address: SocketAddr) -> Result<bool, Finding> {
        Ok(self.listens_on()?.iter().any(|&own| serves(own, address)))
    }

    /// Waits until it listens at these addresses too: further listeners, which are not waited
    /// for at the start, come up a moment later, or never.
    ///
    /// # Errors
    ///
    /// It has ended, or they do not come up.
    pub async fn listens_also(&self, addresses: &[SocketAddr]) -> Result<(), Finding> {
        let deadline = Instant::now() + ALL_LISTEN;
        loop {
            let there = self.listens_on()?;
            let missing =
                addresses.iter().find(|&&wanted| !there.iter().any(|&own| serves(own, wanted)));
            let Some(missing) = missing else { return Ok(()) };
            if let Some(finding) = self.ended().await {
                return Err(finding);
            }
            if Instant::now() > deadline {
                let shown = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let found = Diagnosis::new("listens-elsewhere").compared(missing, shown);
                return Err(found.timed().fail());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Every socket on which the program listens now: its address, and its number, which is
    /// the same in two processes that listen on one socket; none where the system does not
    /// say it.
    pub fn sockets(&self) -> Option<Vec<(SocketAddr, u32)>> {
        sockets(self.program.guard_pid())
    }

    /// Sends SIGTERM to the program's own process.
    ///
    /// # Errors
    ///
    /// Its guard is gone, which is inconclusive.
    pub async fn terminate(&self) -> Result<(), Finding> {
        self.program.terminate().await.map_err(|error| common::our_error("no guard", &error))
    }

    /// Sends SIGQUIT to the program's own process.
    ///
    /// # Errors
    ///
    /// As [`Running::terminate`].
    pub async fn quit(&self) -> Result<(), Finding> {
        self.program.quit().await.map_err(|error| common::our_error("no guard", &error))
    }

    /// How the program's own process has ended, if it has.
    pub fn exit(&self) -> Option<ExitKind> {
        self.program.exited()
    }

    /// How it ends within this time; none if it does not.
    pub async fn exits_within(&self, patience: Duration) -> Option<ExitKind> {
        tokio::time::timeout(patience, self.program.wait_exited()).await.ok().flatten()
    }

    /// The last lines that the program has written.
    pub fn last_lines(&self) -> Vec<String> {
        self.program.output().last_lines(LINES)
    }

    /// The memory that all processes of the program take up, in bytes (`VmRSS`); none where
    /// the system does not say it.
    pub fn memory(&self) -> Option<u64> {
        self.program.memory()
    }

    /// The CPU time that all processes of the program have taken so far; none where the
    /// system does not say it.
    pub fn cpu(&self) -> Option<CpuTime> {
        self.program.cpu()
    }

    /// The lines that the program has written to its standard output so far and
    /// ended; of very many the first and the last.
    pub fn lines(&self) -> Vec<String> {
        let text = self.program.output().stdout.text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// What the program has written to its standard output behind so many bytes; none if a
    /// part of that was not kept.
    pub fn written_since(&self, before: u64) -> Option<Vec<u8>> {
        self.program.written_since(before)
    }

    /// All that the program has written so far, by the name of the stream.
    pub fn written(&self) -> [(&'static str, String); 2] {
        let output = self.program.output();
        [("standard output", output.stdout.text()), ("standard error", output.stderr.text())]
    }

    /// The finding that the program has ended, if it has.
    pub async fn ended(&self) -> Option<Finding> {
        self.program.exited()?;
        Some(self.why_ended().await)
    }

    async fn why_ended(&self) -> Finding {
        match why_ended(&self.program, self.listen, false).await {
            // It had listened, so it did not fail to start.
            StartFailure::ExitedAtOnce { exit, .. } => common::ended(exit, &self.program.output()),
            failure => common::start_failure(failure, self.listen),
        }
    }
}
