//! How a backend is connected to, whichever of its addresses it is.

use std::net::{Ipv4Addr, SocketAddr};

use pingora::upstreams::peer::HttpPeer;

use super::tls::Tls;
use crate::config;

/// How many requests share one HTTP/2 connection, if the backend takes as many.
const STREAMS: usize = 100;

/// In the group of connections that are only for HTTP/1.
const HTTP_1: u64 = 1 << 62;

/// A peer to make those of the backend's addresses of.
pub(super) fn template(
    backend: &config::Backend,
    pool: &config::Pool,
    tls: Option<&Tls>,
) -> HttpPeer {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    // Never empty: without a name to ask for, Pingora would take any certificate.
    let name = if tls.is_some() { pool.server_name(backend) } else { String::new() };
    let mut peer = HttpPeer::new(nowhere, tls.is_some(), name);
    if let Some(tls) = tls {
        tls.apply(&mut peer);
    }
    if pool.http2 {
        // Without TLS nothing says what the backend speaks, so it must speak this.
        let least = if tls.is_some() { 1 } else { 2 };
        peer.options.set_http_version(2, least);
        peer.options.max_h2_streams = STREAMS;
    } else {
        peer.group_key |= HTTP_1;
    }
    peer
}

/// Has a connection to the peer speak HTTP/1, since only that can be upgraded.
pub(super) fn upgradable(peer: &mut HttpPeer) {
    peer.options.set_http_version(1, 1);
    peer.group_key |= HTTP_1;
}
