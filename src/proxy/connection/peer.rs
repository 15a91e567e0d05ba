//! Who is at the other end of a connection.

use std::net::IpAddr;

use http::HeaderValue;

use crate::proxy::headers::ip_value;

/// The address at the other end, which is the same for all requests of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The address. An IPv4 client of an IPv6 socket is an IPv4 client.
    pub ip: IpAddr,
    /// The same as a field's value.
    pub value: HeaderValue,
}

impl From<IpAddr> for Peer {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self { ip, value: ip_value(ip) }
    }
}
