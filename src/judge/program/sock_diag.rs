//! The listening TCP sockets, asked of the Linux kernel over netlink:
//! `sock_diag(7)`, `netlink(7)`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// `SOCK_DIAG_BY_FAMILY`, both of the question and of the answers.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the last message of the answer.
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`: all sockets that fit.
const DUMP: u16 = 0x301;
/// One bit for each state of TCP; LISTEN is the tenth.
const LISTEN: u32 = 1 << 10;
const TCP: u8 = 6;

/// The size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The size of `struct inet_diag_req_v2`.
const QUESTION: usize = 56;

/// Every address that is listened on, with the inode of its socket.
///
/// # Errors
///
/// The kernel has no such interface, or does not let us ask.
pub fn listening() -> io::Result<Vec<(SocketAddr, u32)>> {
    let mut found = ask(AddressFamily::INET)?;
    found.extend(ask(AddressFamily::INET6)?);
    Ok(found)
}

fn ask(family: AddressFamily) -> io::Result<Vec<(SocketAddr, u32)>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&socket, &question(family), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        if rest.is_empty() {
            return Err(malformed());
        }
        while !rest.is_empty() {
            let length = u32_at(rest, 0)? as usize;
            let kind = u16_at(rest, 4)?;
            let message = rest.get(HEADER..length).ok_or_else(malformed)?;
            match kind {
                DONE => return Ok(found),
                ERROR => {
                    let code = u32_at(message, 0)?.cast_signed();
                    return Err(io::Error::from_raw_os_error(-code));
                }
                BY_FAMILY => found.push(answer(message)?),
                _ => {}
            }
            // Messages begin at multiples of four bytes.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn question(family: AddressFamily) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + QUESTION);
    bytes.extend(((HEADER + QUESTION) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Sequence number and sender: there is one question on this socket.
    bytes.extend([0; 8]);
    bytes.extend([family.as_raw() as u8, TCP, 0, 0]);
    bytes.extend(LISTEN.to_ne_bytes());
    // No particular socket.
    bytes.resize(HEADER + QUESTION, 0);
    bytes
}

/// Reads a `struct inet_diag_msg`.
fn answer(message: &[u8]) -> io::Result<(SocketAddr, u32)> {
    let port = u16::from_be_bytes(bytes_at(message, 4)?);
    let ip = if i32::from(message[0]) == i32::from(AddressFamily::INET6.as_raw()) {
        IpAddr::from(Ipv6Addr::from(bytes_at::<16>(message, 8)?))
    } else {
        IpAddr::from(Ipv4Addr::from(bytes_at::<4>(message, 8)?))
    };
    Ok((SocketAddr::new(ip, port), u32_at(message, 68)?))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    Ok(u32::from_ne_bytes(bytes_at(bytes, at)?))
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    Ok(u16::from_ne_bytes(bytes_at(bytes, at)?))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer of sock_diag that is cut short")
}
