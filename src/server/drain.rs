//! How long the end waits for what is in flight.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::connections::Connections;
use super::signals::Signals;
use crate::config::Span;
use crate::proxy::InFlight;
use crate::proxy::connection::LINGER;

/// How often a drain asks whether all has finished.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

/// How long connections may take to close once no request is left: those of HTTP/2 are
/// read from until their clients close them.
const FAREWELL: Duration = LINGER;

/// Waits until the requests in flight have finished, or until `limit` or another
/// signal ends the wait.
pub(super) async fn drain(
    limit: Span,
    services: JoinHandle<anyhow::Result<()>>,
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
