//! HTTP/2 frame by frame, for clients that do what no library lets them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How a client begins (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
/// More of a header that was begun and not ended (section 6.10).
pub const CONTINUATION: u8 = 9;
/// `GET http://x/`, by the static table of RFC 7541.
pub const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];

/// A frame (section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A client that says and reads what it is told to, and nothing by itself.
pub struct Frames(TcpStream);

impl Frames {
    /// Begins to speak HTTP/2, with so much room for what has not been read.
    pub fn connect(address: SocketAddr, room: usize) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(room).expect("a size");
        socket.connect(&address.into()).expect("the server accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let mut client = Self(stream);
        client.send(PREFACE).expect("a beginning");
        client.send(&frame(SETTINGS, 0, 0, &[])).expect("settings");
        client
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Sends [`REQUEST`], whole, as this stream.
    pub fn ask(&mut self, stream: u32) -> io::Result<()> {
        self.send(&frame(HEADERS, 5, stream, REQUEST))
    }

    /// The kind and the payload of the next frame; `None` at the end, be it in order or a
    /// reset.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        Some((head[3], payload))
    }

    /// The payload of the next frame of this kind; others are passed over.
    pub fn until(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (other, payload) = self.next().expect("more frames");
            if other == kind {
                return payload;
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.0.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing comes: {error}"),
            Err(_) => None,
        }
    }
}
