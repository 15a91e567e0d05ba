//! Which addresses are one client's.

use std::net::IpAddr;

/// Where what counts together comes from: an IPv4 address or an IPv6 /64, which is the
/// least that one customer is given (RFC 6177), with all that lies behind it to choose
/// from (RFC 4291, section 2.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The address.
    V4(u32),
    /// The first 64 bits of the address.
    V6(u64),
}

// === impl Source ===

impl Source {
    /// That of an address. An IPv4 client is one, over whichever socket it came.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}
