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
//! 4. on SIGINT stop; on SIGTERM stop accepting, finish what is in flight, stop.

mod listener;
mod log;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::background::BackgroundService;
use pingora::services::{Service, ServiceReadyNotifier};
use pingora_proxy::ProxyServiceBuilder;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;
use crate::proxy::{BackendState, InFlight, Pool, Proxy};

pub use listener::BindError;
pub use log::{LogGuard, start as start_log};

/// How long nothing must be in flight before all is taken to have finished.
const SETTLE: Duration = Duration::from_millis(20);

/// A load balancer whose sockets are bound. Clients can connect; they are
/// answered once it runs.
pub struct Server {
    config: Config,
    sockets: listener::Sockets,
}

/// What a load balancer does when it begins to answer.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where clients are accepted.
    pub listeners: Vec<SocketAddr>,
    /// The backends after their first check.
    pub backends: Vec<BackendState>,
}

impl Server {
    /// Binds all listeners.
    ///
    /// # Errors
    ///
    /// A listener's address cannot be bound.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let sockets = listener::Sockets::bind(config.listeners.iter().map(|l| l.address))?;
        Ok(Self { config, sockets })
    }

    /// Runs until a signal ends it. `started` is called once clients are
    /// answered.
    ///
    /// # Errors
    ///
    /// The runtime or the signal handlers cannot be made, or a backend's name
    /// does not resolve.
    pub fn run(self, started: impl FnOnce(&Started)) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.config.threads.get())
            .thread_name("proxy")
            .enable_all()
            .build()
            .context("cannot start worker threads")?;
        let result = runtime.block_on(self.serve(started));
        // What is still there has had its time; a blocking name look-up must not
        // hold up the end.
        runtime.shutdown_background();
        result
    }

    async fn serve(self, started: impl FnOnce(&Started)) -> anyhow::Result<()> {
        let mut signals = signals::Signals::new().context("cannot listen for signals")?;
        let [pool_config] = self.config.pools.as_slice() else {
            anyhow::bail!("the configuration was not validated");
        };
        let pool = Pool::new(pool_config, &self.config.timeouts);
        tokio::select! {
            resolved = pool.resolve() => resolved?,
            _ = signals.next() => return Ok(()),
        }

        let (shutdown, shutting_down) = watch::channel(false);
        let (ready, mut first_check) = watch::channel(false);
        tokio::spawn({
            let (pool, shutting_down) = (Arc::clone(&pool), shutting_down.clone());
            async move {
                let ready = ServiceReadyNotifier::new(ready);
                pool.start_with_ready_notifier(shutting_down, ready).await;
            }
        });
        tokio::select! {
            _ = first_check.wait_for(|checked| *checked) => {}
            _ = signals.next() => return Ok(()),
        }

        let in_flight = InFlight::default();
        let proxy = Proxy::new(&self.config, Arc::clone(&pool), in_flight.clone());
        let (listeners, fds) = self.sockets.hand_over();
        let services =
            tokio::spawn(accept(&self.config, proxy, listeners.clone(), fds, shutting_down));
        started(&Started { listeners: listeners.clone(), backends: pool.state() });
        for address in &listeners {
            info!(target: "server", %address, "listening");
        }

        match signals.next().await {
            signals::Ending::Now => info!(target: "server", "interrupted, stopping"),
            signals::Ending::Drained => {
                let limit = self.config.shutdown.drain;
                info!(target: "server", in_flight = in_flight.count(), %limit,
                    "no longer accepting, finishing what is in flight");
                // An error would mean that nobody listens, which is as well.
                let _ = shutdown.send(true);
                let finished = async {
                    // The listeners are closed when their service has ended.
                    let _ = services.await;
                    loop {
                        in_flight.ended().await;
                        // A request whose header has come but has not been looked
                        // at is not counted yet.
                        tokio::time::sleep(SETTLE).await;
                        if in_flight.count() == 0 {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = finished => info!(target: "server", "all requests have finished"),
                    () = tokio::time::sleep(limit.get()) => warn!(target: "server",
                        cut = in_flight.count(), "time is over, the rest is cut"),
                    _ = signals.next() => warn!(target: "server",
                        cut = in_flight.count(), "signalled again, the rest is cut"),
                }
            }
        }
        Ok(())
    }
}

/// Accepts clients until the shutdown begins.
fn accept(
    config: &Config,
    proxy: Proxy,
    listeners: Vec<SocketAddr>,
    fds: Fds,
    shutting_down: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let conf = Arc::new(ServerConf {
        threads: config.threads.get(),
        // The proxy itself says when a try was the last.
        max_retries: usize::MAX,
        ..ServerConf::default()
    });
    let mut options = HttpServerOptions::default();
    // Pingora would answer CONNECT by itself, past the rules and the log.
    options.allow_connect_method_proxying = true;
    let mut service =
        ProxyServiceBuilder::new(&conf, proxy).name("proxy").server_options(options).build();
    for address in listeners {
        service.add_tcp(&address.to_string());
    }
    let fds: ListenFds = Arc::new(Mutex::new(fds));
    async move { service.start_service(Some(fds), shutting_down, 1).await }
}
