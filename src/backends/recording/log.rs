//! What the backends of one scene saw, in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

/// Names one connection among all those of a [`Recorder`](super::Recorder).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A connection was accepted.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The name of the backend.
    pub backend: Arc<str>,
    /// This connection.
    pub connection: ConnectionId,
    /// Where it came from.
    pub peer: SocketAddr,
    /// When.
    pub at: Instant,
    /// How many bytes the backend has read from it so far.
    pub bytes_received: u64,
}

/// A request. It is entered when its head is complete, and updated in its
/// place while its body arrives.
#[derive(Clone, Debug)]
pub struct Received {
    /// The name of the backend.
    pub backend: Arc<str>,
    /// The connection that brought it.
    pub connection: ConnectionId,
    /// The how-manyth request of its connection it is, from 1.
    pub nth_on_connection: usize,
    /// The method, as spelt.
    pub method: String,
    /// The target: what stands between the method and the version, as spelt.
    pub target: String,
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor_version: u8,
    /// The header fields in order, names as spelt. What is not UTF-8 in a value
    /// reads as U+FFFD here; `raw_head` has the bytes.
    pub headers: Vec<(String, String)>,
    /// The head as it came, with the empty line that ends it.
    pub raw_head: Bytes,
    /// The body without its framing: empty until the body is complete or the
    /// connection has ended, then as much as came.
    pub body: Bytes,
    /// How many bytes of the body came so far.
    pub body_bytes: usize,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Whether the whole request came.
    pub complete: bool,
    /// Why the rest of the request cannot be read: its framing contradicts
    /// itself or breaks a rule of RFC 9112, section 6.
    pub framing_error: Option<&'static str>,
    /// When the head was complete.
    pub at: Instant,
    /// When the body was complete; that of the head if there is no body.
    pub body_done_at: Option<Instant>,
}

/// What came is not HTTP/1. Entered at once, and updated in its place.
#[derive(Clone, Debug)]
pub struct Garbage {
    /// The name of the backend.
    pub backend: Arc<str>,
    /// The connection that brought it.
    pub connection: ConnectionId,
    /// The bytes, up to 64 KiB; a TLS client begins with `16 03`.
    pub bytes: Bytes,
    /// When it was known not to be HTTP/1.
    pub at: Instant,
}

/// The peer has closed its sending side while the backend waited (to answer, or
/// for ever). A client that aborts does this; one that only half-closes too,
/// which is why the backend goes on with its answer.
#[derive(Clone, Debug)]
pub struct PeerFinished {
    /// The name of the backend.
    pub backend: Arc<str>,
    /// The connection.
    pub connection: ConnectionId,
    /// When.
    pub at: Instant,
}

/// A connection has ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The name of the backend.
    pub backend: Arc<str>,
    /// The connection.
    pub connection: ConnectionId,
    /// When.
    pub at: Instant,
    /// Who ended it, and how.
    pub ending: Ending,
    /// How many bytes the backend read from it.
    pub bytes_received: u64,
}

/// Who ended a connection, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed it.
    ByPeer,
    /// The peer reset it.
    ResetByPeer,
    /// The backend closed it.
    ByBackend,
    /// The backend reset it.
    ResetByBackend,
}

/// One thing that a backend saw.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A connection was accepted.
    Connected(Connected),
    /// A request came.
    Received(Received),
    /// Something came that is not HTTP/1.
    Garbage(Garbage),
    /// The peer closed its sending side while the backend was to answer.
    PeerFinished(PeerFinished),
    /// A connection ended.
    Closed(Closed),
}

/// Everything that the backends of one scene saw, in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub(super) entries: Vec<Entry>,
}

// === impl Log ===

impl Log {
    /// All entries, in the order in which they were entered.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The requests, in the order in which their heads were complete.
    pub fn requests(&self) -> impl Iterator<Item = &Received> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Received(received) => Some(received),
            _ => None,
        })
    }

    /// The requests of one backend.
    pub fn requests_to(&self, backend: &str) -> impl Iterator<Item = &Received> {
        self.requests().filter(move |received| &*received.backend == backend)
    }

    /// The connections, in the order in which they were accepted.
    pub fn connections(&self) -> impl Iterator<Item = &Connected> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Connected(connected) => Some(connected),
            _ => None,
        })
    }

    /// The connections of one backend.
    pub fn connections_to(&self, backend: &str) -> impl Iterator<Item = &Connected> {
        self.connections().filter(move |connected| &*connected.backend == backend)
    }

    /// The connections of one backend over which not a byte came (so far), as a
    /// TCP health check makes them. A connection that is open and silent yet may
    /// still bring a request.
    pub fn bare_connects_to(&self, backend: &str) -> impl Iterator<Item = &Connected> {
        self.connections_to(backend).filter(|connected| connected.bytes_received == 0)
    }

    /// How many requests each connection of a backend brought, in the order of
    /// the connections; those that brought none are left out.
    pub fn requests_per_connection(&self, backend: &str) -> Vec<usize> {
        let mut counts = BTreeMap::<_, usize>::new();
        for received in self.requests_to(backend) {
            *counts.entry(received.connection).or_default() += 1;
        }
        counts.into_values().collect()
    }

    /// What came that is not HTTP/1.
    pub fn garbage(&self) -> impl Iterator<Item = &Garbage> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Garbage(garbage) => Some(garbage),
            _ => None,
        })
    }

    /// How a connection ended, once it has.
    pub fn closed(&self, connection: ConnectionId) -> Option<&Closed> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Closed(closed) if closed.connection == connection => Some(closed),
            _ => None,
        })
    }

    /// When the peer of a connection left it: closed its sending side, closed
    /// it or reset it.
    pub fn peer_left(&self, connection: ConnectionId) -> Option<Instant> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::PeerFinished(finished) if finished.connection == connection => Some(finished.at),
            Entry::Closed(closed) if closed.connection == connection => match closed.ending {
                Ending::ByPeer | Ending::ResetByPeer => Some(closed.at),
                Ending::ByBackend | Ending::ResetByBackend => None,
            },
            _ => None,
        })
    }
}

// === impl Received ===

impl Received {
    /// The values of all fields of this name, in any spelling of it.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The path: the target up to its `?`.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}
