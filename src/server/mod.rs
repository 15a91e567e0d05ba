//! The life of the process: sockets, start-up, signals, the end.
//!
//! Pingora's `Server` is not used, since it would bind the sockets in the
//! background (a busy port is retried for 30 s and then panics) and would sleep
//! a fixed time on SIGTERM, however little is in flight. Its services are
//! started here instead, on one runtime, over sockets that were bound before:
//!
//! 1. bind all listeners, so that a busy port is a plain error;
//! 2. resolve all names and check all backends;
//! 3. accept clients, and say so;
//! 4. on SIGINT stop; on SIGTERM, or when another process has taken over
//!    (`upgrade`), stop accepting, finish what is in flight, stop.

mod access_log;
mod admin;
mod changes;
mod connections;
mod departure;
mod descriptors;
mod door;
mod file_watch;
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
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use parking_lot::Mutex;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use pingora_proxy::http_proxy;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{Config, ListenerTls, LogTarget, Misfit, Span, Step};
use crate::proxy::access_log::AccessLog;
use crate::proxy::pem::TlsError;
use crate::proxy::witness::Witness;
use crate::proxy::{BackendState, InFlight, Metrics, Proxy, Snapshot};

use access_log::AccessLogWriter;
use admin::{Admin, Call, Desk, Gate, Running};
use connections::Connections;
use departure::Departure;
use door::{Door, Entrance, Rules};
use file_watch::FileWatches;
use operator::Operator;
use signals::{Asked, Signals};
use upgrade::{Giver, Taker};

pub use listener::BindError;
pub use log::{LogGuard, start as start_log};
pub use operator::{Origin, Reader};
pub use upgrade::UpgradeError;

/// How often a drain asks whether all has finished.
const SETTLE: Duration = Duration::from_millis(20);

/// How many may wait to ask for a reload; others wait to be asked.
const CALLS: usize = 16;
/// How long connections may take to close once no request is left.
const FAREWELL: Duration = Duration::from_millis(500);

/// How often it is looked whether everybody is still at work.
const ROUNDS: Duration = Duration::from_secs(5);

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
}

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
        descriptors::raise_limit(&config.limits);
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
        let bound = Bound { config, origin, signals, sockets, entrances, admin, taker };
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
        let life = runtime.spawn(serve(bound, access_log.log(), started));
        let result = runtime.block_on(life).unwrap_or_else(|error| Err(error.into()));
        // What is still there has had its time; a blocking name look-up must not
        // hold up the end.
        runtime.shutdown_background();
        drop(access_log);
        result
    }
}

async fn serve(
    bound: Bound,
    access_log: Option<AccessLog>,
    started: impl FnOnce(&Started),
) -> anyhow::Result<()> {
    let Bound { config, mut origin, mut signals, sockets, entrances, admin, taker } = bound;
    let drain_limit = config.shutdown.drain;
    let mut watches = origin.take_watches();
    let (in_flight, connections) = (InFlight::default(), Connections::default());
    // Nobody else could show what is counted.
    let counts = config.metrics.enabled && admin.is_some();
    let metrics = if counts { Metrics::on() } else { Metrics::off() };
    let witness = Witness::new(access_log.clone(), metrics.clone());
    let (calls, mut called) = mpsc::channel(CALLS);
    let desk = Desk::new(metrics.clone(), in_flight.clone(), connections.clone(), calls);
    let desk = Arc::new(desk);
    let gate = config.admin.as_ref().map(|admin| Arc::new(Gate::new(admin)));
    let admin_address = admin.as_ref().and_then(|socket| socket.addresses().next());
    // What the next process will be sent.
    let to_give = match &config.upgrade.socket {
        Some(path) => {
            let admin = admin.as_ref().map(listener::Sockets::copies).transpose()?;
            let all = sockets.copies()?.into_iter().chain(admin.into_iter().flatten());
            Some((path.clone(), all.collect::<Vec<_>>()))
        }
        None => None,
    };
    let mut admin = admin.zip(gate.clone());
    let mut start_admin = || {
        let admin = admin.take().map(|(socket, gate)| {
            Admin::start(socket, gate, Arc::clone(&desk)).context("cannot start the admin listener")
        });
        admin.transpose()
    };
    // It answers from now until the process has drained. Where another process still
    // answers at its address, the two would contradict each other.
    let mut admin_listener = if taker.is_none() { start_admin()? } else { None };
    let operator = tokio::select! {
        operator = Operator::begin(config.clone(), origin, &entrances, metrics, gate) => operator?,
        _ = signals.end() => return Ok(()),
    };

    let (shutdown, shutting_down) = watch::channel(false);
    let proxy = Proxy::new(Arc::clone(operator.current()), in_flight.clone(), witness);
    if taker.is_some() {
        admin_listener = start_admin()?;
    }
    let giver = to_give.map(|(path, sockets)| Giver::wait_at(&path, sockets));
    let mut giver = giver.transpose()?;
    let departure = Departure::new();
    let (listeners, fds) = sockets.hand_over();
    let doors = listeners.iter().copied().zip(entrances).collect();
    let accepting =
        accept(&config, proxy, connections.clone(), doors, fds, &departure, shutting_down);
    let mut services = tokio::spawn(accepting);
    let tls = config.listeners.iter().map(|listener| listener.tls.is_some());
    let listening: Vec<_> = listeners.iter().copied().zip(tls).collect();
    desk.runs(Running {
        operator: Arc::clone(&operator),
        listeners: listening.clone(),
        access_log,
    });
    let pools = operator
        .current()
        .load()
        .pools()
        .iter()
        .map(|p| (p.name().to_owned(), p.state()))
        .collect();
    started(&Started { listeners: listening, admin: admin_address, pools });
    for address in &listeners {
        info!(target: "server", %address, "listening");
    }
    if let Some(address) = admin_address {
        info!(target: "admin", %address, "looked after");
    }
    // From now on, the process that ran before knows that it is not needed.
    match taker {
        Some(taker) => {
            // Before the other ends, which systemd has started.
            systemd::tell(&format!("{}\nMAINPID={}", systemd::READY, std::process::id()));
            taker.accepting();
        }
        None => systemd::tell(systemd::READY),
    }

    let ending = tokio::select! {
        ending = answer_calls(&operator, &mut watches, &mut signals, &mut called) => Ending::Asked(ending),
        process = taken_over(giver.as_mut()) => Ending::TakenOver(process),
        // None of them ends before the shutdown but by a panic, and a load balancer
        // that accepts nobody, or checks nothing, must not look alive.
        _ = &mut services => anyhow::bail!("the listeners ended by themselves; see the log"),
        () = lost_care(&operator) => anyhow::bail!("the health checks ended by themselves; see the log"),
    };
    // Who still waits for a reload is told that there will be none.
    drop(called);
    // It holds the listeners open.
    drop(giver);
    if let Ending::TakenOver(process) = ending {
        info!(target: "server", process, "another process has taken over");
        // Both would answer in turn.
        drop(admin_listener);
        departure.be_patient(config.upgrade.idle.get());
    } else {
        systemd::tell(systemd::STOPPING);
    }
    match ending {
        Ending::Asked(Asked::Drain) | Ending::TakenOver(_) => {
            desk.drains();
            in_flight.leave();
            // An error would mean that nobody listens, which is as well.
            let _ = shutdown.send(true);
            drain(drain_limit, services, in_flight, connections, signals).await;
        }
        Ending::Asked(Asked::End | Asked::Reload) => {
            info!(target: "server", "interrupted, stopping");
            // They would complain of a channel that closes without a word.
            let _ = shutdown.send(true);
        }
    }
    Ok(())
}

/// Why a load balancer ends.
enum Ending {
    Asked(Asked),
    /// Another process, of this number, has taken over.
    TakenOver(u32),
}

/// Waits until another process has taken over; for ever, if none can.
async fn taken_over(giver: Option<&mut Giver>) -> u32 {
    match giver {
        Some(giver) => giver.taken_over().await,
        None => std::future::pending().await,
    }
}

/// Reloads when it is asked to, or when a file changes, until a signal asks to
/// end.
async fn answer_calls(
    operator: &Operator,
    watches: &mut FileWatches,
    signals: &mut Signals,
    called: &mut mpsc::Receiver<Call>,
) -> Asked {
    loop {
        let mut caller = None;
        tokio::select! {
            asked = signals.next() => if asked != Asked::Reload { return asked },
            () = watches.changed() => {}
            Some(call) = called.recv() => caller = Some(call),
        }
        // What is wrong is in the log; the old configuration stays.
        let result = operator.reload().await;
        if let Some(caller) = caller {
            // Whoever asked may have gone.
            let _ = caller.send(result);
        }
        if operator.watch(watches).await {
            // They may have changed after they were read and before they were watched.
            let _ = operator.reload().await;
        }
    }
}

/// Ends when the care for a pool has ended by itself.
async fn lost_care(operator: &Operator) {
    while !operator.has_lost_care() {
        tokio::time::sleep(ROUNDS).await;
    }
}

/// Waits until the requests in flight have finished, or until `limit` or another
/// signal ends the wait.
async fn drain(
    limit: Span,
    services: JoinHandle<()>,
    in_flight: InFlight,
    connections: Connections,
    mut signals: Signals,
) {
    info!(target: "server", in_flight = in_flight.count(), %limit,
        "no longer accepting, finishing what is in flight");
    let finished = async {
        // The listeners are closed when their service has ended.
        let _ = services.await;
        // A request whose header has come but has not been looked at is not counted
        // yet, so nothing is asked at once.
        loop {
            tokio::time::sleep(SETTLE).await;
            if in_flight.count() == 0 {
                break;
            }
        }
        // The end of an answer over HTTP/2 is sent by its connection, after the request
        // has ended. Nobody is waited for who does not take it.
        let begun = Instant::now();
        while connections.open() > 0 && begun.elapsed() < FAREWELL {
            tokio::time::sleep(SETTLE).await;
        }
    };
    tokio::select! {
        () = finished => info!(target: "server", "all requests have finished"),
        () = tokio::time::sleep(limit.get()) => warn!(target: "server",
            cut = in_flight.count(), "time is over, the rest is cut"),
        _ = signals.end() => warn!(target: "server",
            cut = in_flight.count(), "signalled again, the rest is cut"),
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

/// Accepts clients until the shutdown begins.
fn accept(
    config: &Config,
    proxy: Proxy,
    connections: Connections,
    doors: Vec<(SocketAddr, Arc<Entrance>)>,
    fds: Fds,
    departure: &Departure,
    shutting_down: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let conf = Arc::new(ServerConf {
        threads: config.threads.get(),
        // The proxy itself says when a try was the last.
        max_retries: usize::MAX,
        ..ServerConf::default()
    });
    let witness = proxy.witness().clone();
    let mut proxy = http_proxy(&conf, proxy);
    proxy.server_options = Some(door::server_options(&config.limits));
    proxy.h2_options = Some(door::http2_options(&config.limits));
    // One for all listeners, since the connections to backends are its.
    let proxy = Arc::new(proxy);
    let fds: ListenFds = Arc::new(Mutex::new(fds));
    let services = doors.into_iter().map(|(address, entrance)| {
        let (counted, proxy) = (connections.clone(), Arc::clone(&proxy));
        let door = Door::new(entrance, counted, departure.clone(), proxy, witness.clone());
        let mut service = ListeningService::new(format!("listener {address}"), door);
        service.add_listener(
            ListenerConfig::tcp(address.to_string())
                .l4_buffer(L4BufferSettings::default().read(door::READ_BUFFER)),
        );
        let (fds, shutting_down) = (Arc::clone(&fds), shutting_down.clone());
        async move { service.start_service(Some(fds), shutting_down, 1).await }
    });
    let services: Vec<_> = services.collect();
    async move {
        join_all(services).await;
    }
}
