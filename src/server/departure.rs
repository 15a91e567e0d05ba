//! How the connections of clients end when the process does.
//!
//! It is told to Pingora that the process ends: from then on, an answer says that its
//! connection will be closed. A connection without a request is closed too, but not at
//! once where another process has taken over: a request may be on its way, and would
//! be lost with it.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::connections::Connections;
use super::drain::SETTLE;

/// How long the doors wait for the last requests of their connections.
#[derive(Clone)]
pub struct Departure(Arc<Inner>);

struct Inner {
    patience: OnceLock<Duration>,
    closing: watch::Sender<bool>,
}

// === impl Departure ===

impl Departure {
    /// Connections without a request are closed at once, unless something else is
    /// said.
    pub fn new() -> Self {
        Self(Arc::new(Inner { patience: OnceLock::new(), closing: watch::channel(false).0 }))
    }

    /// Connections without a request may stay so long. To be said before it is said
    /// that the process ends.
    pub fn be_patient(&self, time: Duration) {
        // The first who says it is right.
        let _ = self.0.patience.set(time);
    }

    /// Waits until connections that have not begun a request are to be closed.
    pub fn closing(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.0.closing.subscribe();
        async move {
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Waits until connections without a request are to be closed, or there are no
    /// connections, and says so.
    pub async fn last_call(&self, connections: &Connections) {
        let all_gone = async {
            while connections.open() > 0 {
                tokio::time::sleep(SETTLE).await;
            }
        };
        if let Some(patience) = self.0.patience.get() {
            let _ = timeout(*patience, all_gone).await;
        }
        self.0.closing.send_replace(true);
    }
}
