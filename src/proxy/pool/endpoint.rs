//! One address of a backend: how to connect to it, and what it has to do now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use parking_lot::Mutex;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::upstreams::peer::HttpPeer;
use tracing::warn;

use super::breaker::{Breaker, BreakerState, Ejections, Passage};
use super::peer;
use crate::config::{self, Timeouts};
use crate::proxy::metrics::Metrics;
use crate::proxy::metrics::upstream::Upstream;

/// The next group that no connection is in. All others are in group 0, but for what
/// TLS and the version of HTTP add to it in high bits.
static FRESH_GROUP: AtomicU64 = AtomicU64::new(1);

/// How often the log says that TLS with an address fails.
const TLS_REPORTS: Duration = Duration::from_secs(10);

/// What a backend is called, prepared for the places that name it.
pub struct Identity {
    /// Its place in the pool.
    pub index: usize,
    /// In logs and tables.
    pub label: String,
    /// In header fields.
    pub label_value: HeaderValue,
    /// The `Host` to send to it; the client's if there is none.
    pub host: Option<HeaderValue>,
    /// What is counted of the tries at it, if anything is.
    pub metrics: Option<Arc<Upstream>>,
}

/// One address of a backend. Made when the address becomes known, so that a
/// request only copies it.
pub struct Endpoint {
    /// The backend that it belongs to.
    pub identity: Arc<Identity>,
    /// Where it is.
    pub address: SocketAddr,
    peer: HttpPeer,
    upgraded: Duration,
    in_flight: AtomicU32,
    /// How many requests it may have at a time.
    most: u32,
    pub(super) breaker: Breaker,
    /// When it came back, while it is given less than its share.
    pub(super) warming_since: Mutex<Option<Instant>>,
    /// When the log said last that TLS fails.
    tls_reported: Mutex<Option<Instant>>,
}

/// Why an address does not take a request that would be its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has as many as it may have.
    Full,
    /// Its breaker lets none through, or is trying one.
    Ejected,
    /// Another has become its trial at this moment. The place that it had taken for
    /// that long is free again, and somebody may have begun to wait for it.
    Overtaken,
}

// === impl Identity ===

impl Identity {
    /// Of the backend at this place of a pool, which is spoken to over TLS or not.
    pub(super) fn of(pool: &config::Pool, index: usize, tls: bool, metrics: &Metrics) -> Self {
        let backend = &pool.backends[index];
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
                        && backend.address.port() != if tls { 443 } else { 80 } =>
                {
                    format!("{}:{}", name.as_str(), backend.address.port())
                }
                _ => name.as_str().to_owned(),
            };
            HeaderValue::from_str(&authority).expect("a backend's name is ASCII")
        });
        let metrics = metrics.backend(&pool.name, &label);
        Self { index, label, label_value, host, metrics }
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(
        identity: Arc<Identity>,
        address: SocketAddr,
        template: &HttpPeer,
        pool: &config::Pool,
        timeouts: &Timeouts,
        ejections: &Arc<Ejections>,
    ) -> Self {
        let mut peer = template.clone();
        peer._address = PeerAddr::Inet(address);
        peer.options.connection_timeout = Some(timeouts.connect.get());
        peer.options.total_connection_timeout = Some(timeouts.connect.get());
        peer.options.read_timeout = Some(timeouts.read.get());
        peer.options.write_timeout = Some(timeouts.write.get());
        peer.options.idle_timeout = Some(timeouts.idle.get());
        Self {
            identity,
            address,
            peer,
            upgraded: timeouts.upgraded.get(),
            in_flight: AtomicU32::new(0),
            most: pool.max_requests.map_or(u32::MAX, config::Count::get),
            breaker: Breaker::new(&pool.circuit_breaker, Arc::clone(ejections)),
            warming_since: Mutex::new(None),
            tls_reported: Mutex::new(None),
        }
    }

    /// How many requests it has now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The state of its breaker.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Takes a request on, if it may. What is taken on must be let go
    /// ([`Self::leave`]).
    pub(super) fn enter(&self) -> Result<Passage, Refusal> {
        if !self.breaker.lets_pass() {
            return Err(Refusal::Ejected);
        }
        self.take_place()?;
        self.breaker.pass().ok_or_else(|| {
            self.leave();
            Refusal::Overtaken
        })
    }

    /// The same, whatever the breaker says: nobody else is left.
    pub(super) fn enter_anyway(&self) -> Result<Passage, Refusal> {
        self.take_place().map(|()| Passage::Free)
    }

    fn take_place(&self) -> Result<(), Refusal> {
        if self.most == u32::MAX {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
        } else {
            // Never more, not even for a moment: one that is refused for a place that
            // is nobody's would wait for nobody to leave.
            self.in_flight
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                    (n < self.most).then_some(n + 1)
                })
                .map_err(|_| Refusal::Full)?;
        }
        Ok(())
    }

    /// Lets a request go. Returns whether it had been full.
    pub(super) fn leave(&self) -> bool {
        self.in_flight.fetch_sub(1, Ordering::AcqRel) >= self.most
    }

    /// TLS with it failed. Says why in the log, but not for each request.
    pub fn tls_failed(&self, pool: &str, error: &pingora::Error) {
        let now = Instant::now();
        let mut reported = self.tls_reported.lock();
        if reported.is_none_or(|last| now.duration_since(last) >= TLS_REPORTS) {
            *reported = Some(now);
            let reason = crate::proxy::retry::cause(error);
            warn!(target: "tls", pool, backend = self.identity.label, address = %self.address,
                reason, "TLS with a backend failed");
        }
    }

    /// The peer to connect to, with no limit longer than what is left of the
    /// total. A `fresh` one is connected to anew.
    pub fn peer(&self, left: Duration, upgrade: bool, fresh: bool) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        if upgrade {
            peer::upgradable(&mut peer);
        }
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
        options.read_timeout =
            if upgrade { Some(self.upgraded) } else { options.read_timeout.map(|l| l.min(left)) };
        peer
    }
}
