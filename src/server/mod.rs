//! The life of the process: sockets, start-up, signals, the end.
//!
//! Pingora's `Server` is not used, since it would bind the sockets in the
//! background (a busy port is retried for 30 s and then panics) and would sleep
//! a fixed time on SIGTERM, however little is in flight; nor are its listening services,
//! which keep much for each idle connection. Its proxy serves the requests, on one
//! runtime, of clients that come to sockets that were bound before:
//!
//! 1. bind all listeners, so that a busy port is a plain error;
//! 2. resolve all names and check all backends;
//! 3. accept clients, and say so;
//! 4. on SIGINT stop; on SIGTERM, or when another process has taken over
//!    (`upgrade`), stop accepting, finish what is in flight, stop.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `life` | what happens from the start to the end, in its order |
//! | `listener`, `accept`, `door` | which sockets clients come to, and what they meet there |
//! | `tls` | what is agreed on with clients, and which certificate they get |
//! | `connections`, `descriptors` | how many connections there may be |
//! | `operator`, `file_watch`, `changes` | which configuration holds, and since when |
//! | `signals`, `systemd` | what the system says to the process, and is told |
//! | `admin`, `metrics` | what whoever looks after it can see and do |
//! | `log`, `access_log` | where events and requests are written down |
//! | `drain`, `departure` | how the work ends, and clients' connections |
//! | `upgrade` | how another process takes over |

mod accept;
mod access_log;
mod admin;
mod changes;
mod connections;
mod departure;
mod descriptors;
mod door;
mod drain;
mod file_watch;
mod life;
mod listener;
mod log;
pub mod metrics;
mod operator;
mod signals;
mod systemd;
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::config::{Config, ListenerTls, LogTarget, Misfit, Step};
use crate::proxy::pem::TlsError;
use crate::proxy::{BackendState, Snapshot};

use access_log::AccessLogWriter;
use door::{Entrance, Rules};
use signals::Signals;
use upgrade::{Giver, Taker};

pub use listener::BindError;
pub use log::{LogGuard, start as start_log};
pub use operator::{Origin, Reader};
pub use upgrade::UpgradeError;

/// A load balancer whose sockets are bound. Clients can connect; they are
/// answered once it runs.
pub struct Server {
    runtime: Runtime,
    bound: Bound,
    access_log: AccessLogWriter,
}

/// What is there before it runs.
struct Bound {
    config: Config,
    origin: Origin,
    signals: Signals,
    sockets: listener::Sockets,
    entrances: Vec<Arc<Entrance>>,
    admin: Option<listener::Sockets>,
    taker: Option<Taker>,
    /// How many there are descriptors for.
    clients: u32,
}

/// What a load balancer does when it begins to answer.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where clients are accepted, and whether over TLS.
    pub listeners: Vec<(SocketAddr, bool)>,
    /// Where it is looked after, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The pools and their backends after the first check.
    pub pools: Vec<(String, Vec<BackendState>)>,
    /// Where each request is one line, if anywhere.
    pub access_log: Option<LogTarget>,
}

// === impl Server ===

impl Server {
    /// Begins to listen for signals, so that whoever finds the port open can end
    /// the process in order, opens the access log, and binds all listeners. `colour`
    /// says whether a terminal shall have colours; it is found out where that is
    /// `None`.
    ///
    /// # Errors
    ///
    /// The address of a listener, or of the admin listener, cannot be bound
    /// ([`BindError`]), the access log cannot be opened, the running process cannot be
    /// upgraded ([`UpgradeError`]), or the system has no threads or signal handlers to
    /// give.
    pub fn bind(
        config: Config,
        mut origin: Origin,
        colour: Option<bool>,
        upgrade: bool,
    ) -> anyhow::Result<Self> {
        let mut taker = match (&config.upgrade.socket, upgrade) {
            (Some(path), true) => Some(Taker::connect(path)?),
            (Some(path), false) => Giver::inspect(path).map(|()| None)?,
            (None, true) => anyhow::bail!(
                "there is nothing to upgrade: give both processes [upgrade] socket = \"PATH\""
            ),
            (None, false) => None,
        };
        let clients = descriptors::raise_limit(&config.limits);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.get())
            .thread_name("proxy")
            .enable_all()
            .build()
            .context("cannot start worker threads")?;
        let access_log = AccessLogWriter::start(&config, colour)?;
        let signals = {
            let _inside = runtime.enter();
            let mut signals = Signals::new().context("cannot listen for signals")?;
            let (reopen, queue) = (signals.take_reopen(), Arc::clone(access_log.queue()));
            tokio::spawn(async move {
                let Some(mut reopen) = reopen else { return };
                while reopen.recv().await.is_some() {
                    queue.reopen();
                }
            });
            signals
        };
        // Before any client could connect.
        origin.watch_named(&config);
        let entrances = entrances(&config)?;
        let addresses = config.listeners.iter().map(|listener| listener.address);
        let sockets = listener::Sockets::bind("listener", addresses, taker.as_mut())?;
        let admin = config.admin.as_ref().map(|admin| {
            listener::Sockets::bind("admin", [admin.address], taker.as_mut())
                .map_err(|error| BindError { admin: true, ..error })
        });
        let admin = admin.transpose()?;
        if let Some(taker) = &mut taker {
            taker.close_the_rest();
        }
        let bound = Bound { config, origin, signals, sockets, entrances, admin, taker, clients };
        Ok(Self { runtime, bound, access_log })
    }

    /// Runs until a signal ends it. `started` is called once clients are
    /// answered.
    ///
    /// # Errors
    ///
    /// A backend's name does not resolve ([`Unresolved`](crate::proxy::Unresolved)),
    /// or a part of the load balancer ended by itself, which is a fault of its own.
    pub fn run(self, started: impl FnOnce(&Started) + Send + 'static) -> anyhow::Result<()> {
        let Self { runtime, bound, access_log } = self;
        // On a thread of the runtime, where work that blocks can be moved aside.
        let life = runtime.spawn(life::serve(bound, access_log.log(), started));
        let result = runtime.block_on(life).unwrap_or_else(|error| Err(error.into()));
        // What is still there has had its time; a blocking name look-up must not
        // hold up the end.
        runtime.shutdown_background();
        drop(access_log);
        result
    }
}

/// Checks what only the files can show that a configuration names.
///
/// # Errors
///
/// What is wrong with the first file that cannot be used, and where it is named.
pub fn inspect(config: &Config) -> Result<(), Misfit> {
    for (index, listener) in config.listeners.iter().enumerate() {
        Rules::load(listener, config).map_err(|error| {
            let way = vec![Step::from("listener"), Step::from(index), Step::from("tls")];
            error.misfit(way, listener.tls.iter().flat_map(ListenerTls::files))
        })?;
    }
    if let LogTarget::File(path) = &config.access_log.to
        && config.access_log.enabled
    {
        access_log::inspect(path).map_err(|reason| Misfit {
            message: format!(
                "cannot open the access log {}: {reason}; make its folder, or name another file",
                path.display()
            ),
            at: vec![Step::from("access_log"), Step::from("to"), Step::from("file")],
        })?;
    }
    Snapshot::inspect(config)
}

/// What holds for the clients of each listener, in their order.
fn entrances(config: &Config) -> Result<Vec<Arc<Entrance>>, TlsError> {
    let rules = config.listeners.iter().map(|listener| Rules::load(listener, config));
    rules.map(|rules| Ok(Arc::new(Entrance::new(rules?)))).collect()
}
