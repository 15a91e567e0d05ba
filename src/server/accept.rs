//! Accepting clients, over sockets that are bound.
//!
//! Pingora's own service is not used: for each connection it keeps room for a TLS
//! handshake that takes place elsewhere ([`Door`]), a timer, and a read buffer.

use std::io;
use std::net::TcpListener as BoundListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use pingora::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::connections::Connections;
use super::departure::Departure;
use super::door::{self, Door, Entrance, Served};
use crate::config::Config;
use crate::proxy::Proxy;

/// How long is waited where no connection can be accepted, for want of descriptors or
/// memory.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts clients until the shutdown begins. The future ends when it has begun and
/// connections without a request are closed, or earlier with an error where one of the
/// listeners has panicked.
///
/// # Errors
///
/// A socket cannot be watched for clients.
pub(super) fn accept(
    config: &Config,
    proxy: Proxy,
    connections: &Connections,
    doors: Vec<(BoundListener, Arc<Entrance>)>,
    departure: &Departure,
    shutting_down: &watch::Receiver<bool>,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
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
    let proxy = Arc::new(Served(Arc::new(proxy)));
    let loops = doors.into_iter().map(|(socket, entrance)| {
        let listener = TcpListener::from_std(socket).context("cannot watch a listener")?;
        let door = Arc::new(Door {
            entrance,
            connections: connections.clone(),
            departure: departure.clone(),
            proxy: Arc::clone(&proxy),
            witness: witness.clone(),
            shutting_down: shutting_down.clone(),
        });
        Ok(tokio::spawn(welcome(listener, door, shutting_down.clone())))
    });
    let loops = loops.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(async move {
        try_join_all(loops).await?;
        Ok(())
    })
}

/// Hands each connection to the door, in a task of its own.
async fn welcome(listener: TcpListener, door: Arc<Door>, mut shutting_down: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutting_down.wait_for(|shutting_down| *shutting_down) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Elsewhere it comes with the listener's.
                #[cfg(not(target_os = "linux"))]
                let _ = stream.set_nodelay(true);
                tokio::spawn(Arc::clone(&door).serve(stream, peer));
            }
            Err(error) if concerns_one(&error) => {
                debug!(target: "server", %error, "a connection could not be accepted");
            }
            Err(error) => {
                warn!(target: "server", %error, "no connection can be accepted");
                tokio::select! {
                    () = tokio::time::sleep(BREATH) => {}
                    _ = shutting_down.wait_for(|shutting_down| *shutting_down) => break,
                }
            }
        }
    }
    // From now on clients are refused, unless another process has the socket too.
    drop(listener);
    door.close().await;
}

/// Whether the next connection may well be accepted.
fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
