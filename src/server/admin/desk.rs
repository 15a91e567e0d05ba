//! What is known of the running process, for whoever asks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::super::connections::Connections;
use super::super::operator::{Operator, Reloaded};
use crate::proxy::access_log::AccessLog;
use crate::proxy::{InFlight, Metrics};

/// Somebody asks for a reload and waits for its result.
pub type Call = oneshot::Sender<Result<Reloaded, String>>;

/// How far the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Names are resolved and backends are checked; nobody is answered yet.
    Starting = 0,
    /// Clients are answered.
    Running = 1,
    /// No client is accepted any more, requests in flight finish.
    Draining = 2,
}

/// What is known of the running process.
pub struct Desk {
    /// When it began.
    pub began: Instant,
    /// The same, for people.
    pub began_at: jiff::Timestamp,
    /// What is counted of requests.
    pub metrics: Metrics,
    /// The requests of now.
    pub in_flight: InFlight,
    /// The connections of now.
    pub connections: Connections,
    /// What runs, once it runs.
    pub running: OnceLock<Running>,
    phase: AtomicU8,
    calls: mpsc::Sender<Call>,
}

/// What is there once clients are answered.
pub struct Running {
    /// Whoever runs it.
    pub operator: Arc<Operator>,
    /// Where clients are accepted, and whether over TLS.
    pub listeners: Vec<(SocketAddr, bool)>,
    /// What requests write their lines to.
    pub access_log: Option<AccessLog>,
}

// === impl Phase ===

impl Phase {
    /// What programs know it by.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

// === impl Desk ===

impl Desk {
    /// At the beginning. Whoever asks for a reload is heard at the other end of `calls`.
    pub fn new(
        metrics: Metrics,
        in_flight: InFlight,
        connections: Connections,
        calls: mpsc::Sender<Call>,
    ) -> Self {
        Self {
            began: Instant::now(),
            began_at: jiff::Timestamp::now(),
            metrics,
            in_flight,
            connections,
            running: OnceLock::new(),
            phase: AtomicU8::new(Phase::Starting as u8),
            calls,
        }
    }

    /// How far the process has come.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// Clients are answered from now on.
    pub fn runs(&self, running: Running) {
        if self.running.set(running).is_ok() {
            self.phase.store(Phase::Running as u8, Ordering::Release);
        }
    }

    /// No client is accepted from now on.
    pub fn drains(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Release);
    }

    /// Whether requests can be answered: clients are accepted, and every pool that a
    /// route uses has a backend that takes requests.
    ///
    /// # Errors
    ///
    /// What programs know by the reason why not.
    pub fn ready(&self) -> Result<(), &'static str> {
        match (self.phase(), self.running.get()) {
            (Phase::Running, Some(running)) => {
                let snapshot = running.operator.current().load();
                let mut pools = snapshot.routes().iter().filter_map(|route| route.pool());
                match pools.all(|pool| pool.takes_requests()) {
                    true => Ok(()),
                    false => Err("no_healthy_backend"),
                }
            }
            (phase, _) => Err(phase.id()),
        }
    }

    /// Asks for a reload and waits for its result; `None` if nobody does it now.
    pub async fn reload(&self) -> Option<Result<Reloaded, String>> {
        let (call, result) = oneshot::channel();
        self.calls.send(call).await.ok()?;
        result.await.ok()
    }
}
