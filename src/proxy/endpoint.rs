//! One address of a backend, and how to connect to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use crate::config::{Backend, Timeouts};

/// How long a tunnelled connection (WebSocket) may be silent. The limits for
/// answers are far too short for one.
const UPGRADED_SILENCE: Duration = Duration::from_secs(60 * 60);

/// The next group that no connection is in; all others are in group 0.
static FRESH_GROUP: AtomicU64 = AtomicU64::new(1);

/// What a backend is called, prepared for the places that name it.
#[derive(Debug)]
pub struct Identity {
    /// In logs and tables.
    pub label: String,
    /// In header fields.
    pub label_value: HeaderValue,
    /// The `Host` to send to it; the client's if there is none.
    pub host: Option<HeaderValue>,
}

/// One address of a backend. Made when the address becomes known, so that a
/// request only copies it.
#[derive(Debug)]
pub struct Endpoint {
    /// The backend that it belongs to.
    pub identity: Arc<Identity>,
    /// Where it is.
    pub address: SocketAddr,
    peer: HttpPeer,
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(backend: &Backend) -> Self {
        let label = backend.label();
        let label_value = HeaderValue::from_str(&label).expect("a backend's label is ASCII");
        // A name without an address of its own is what clients know the backend
        // by. Where only the address is known, and it is a DNS name, the backend
        // sees the client's `Host`, as an IP address does.
        let host = backend.name.as_ref().map(|name| {
            let authority = match backend.address.name() {
                // The name is the place: the port belongs to it (RFC 9110, 7.2).
                Some(place)
                    if place.trim_end_matches('.') == name.as_str()
                        && backend.address.port() != 80 =>
                {
                    format!("{}:{}", name.as_str(), backend.address.port())
                }
                _ => name.as_str().to_owned(),
            };
            HeaderValue::from_str(&authority).expect("a backend's name is ASCII")
        });
        Self { label, label_value, host }
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(identity: Arc<Identity>, address: SocketAddr, timeouts: &Timeouts) -> Self {
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(timeouts.connect.get());
        peer.options.total_connection_timeout = Some(timeouts.connect.get());
        peer.options.read_timeout = Some(timeouts.read.get());
        peer.options.write_timeout = Some(timeouts.write.get());
        peer.options.idle_timeout = Some(timeouts.idle.get());
        Self { identity, address, peer }
    }

    /// The peer to connect to, with no limit longer than what is left of the
    /// total. A `fresh` one is connected to anew.
    pub(super) fn peer(&self, left: Duration, upgrade: bool, fresh: bool) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        if fresh {
            // Pingora keeps connections by group: this one is in a group of its own,
            // and is not kept there.
            peer.group_key = FRESH_GROUP.fetch_add(1, Ordering::Relaxed);
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        let options = &mut peer.options;
        for limit in [
            &mut options.connection_timeout,
            &mut options.total_connection_timeout,
            &mut options.write_timeout,
        ] {
            *limit = limit.map(|limit| limit.min(left));
        }
        options.read_timeout = if upgrade {
            Some(UPGRADED_SILENCE)
        } else {
            options.read_timeout.map(|l| l.min(left))
        };
        peer
    }
}
