//! The services of Pingora that accept clients, over sockets that are bound.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use pingora_proxy::http_proxy;
use tokio::sync::watch;

use super::connections::Connections;
use super::departure::Departure;
use super::door::{self, Door, Entrance};
use crate::config::Config;
use crate::proxy::Proxy;

/// Accepts clients until the shutdown begins.
pub(super) fn accept(
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
