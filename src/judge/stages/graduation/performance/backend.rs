//! A backend that takes as little of the machine as it can: it answers every request with the
//! same bytes, and records nothing but how many connections there were.
//!
//! A thread for each connection, since one that blocks asks the system half as often as one
//! that waits for several.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How often a connection on which nothing comes looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// No request of the check is as long.
const LONGEST: usize = 16 * 1024;

/// The end of a request, which has no body.
const END: &[u8] = b"\r\n\r\n";

/// A backend, which ends when it is dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    answer: Vec<u8>,
    connections: AtomicU64,
    over: AtomicBool,
}

// === impl Backend ===

impl Backend {
    /// Listens at this address, and answers 200 with this body.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start(address: SocketAddr, body: &str) -> io::Result<Self> {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nServer: backend\r\n\r\n{body}",
            body.len()
        );
        let state = State {
            answer: answer.into_bytes(),
            connections: AtomicU64::new(0),
            over: AtomicBool::new(false),
        };
        let (listener, state) = (TcpListener::bind(address)?, Arc::new(state));
        let address = listener.local_addr()?;
        let accepting = Arc::clone(&state);
        thread::Builder::new().spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, state })
    }

    /// How many connections have sent a request so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.state.over.store(true, Relaxed);
        // Whoever waits for a connection gets one.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    loop {
        let accepted = listener.accept();
        if state.over.load(Relaxed) {
            return;
        }
        if let Ok((stream, _)) = accepted {
            let state = Arc::clone(state);
            // Without a thread the connection is closed, which the client is told.
            let _ = thread::Builder::new().spawn(move || answer(stream, &state));
        }
    }
}

/// Answers until the other side is done.
fn answer(mut stream: TcpStream, state: &State) {
    let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(LOOK_EVERY)));
    let mut input = vec![0; LONGEST];
    let (mut filled, mut counted) = (0, false);
    while set.is_ok() && !state.over.load(Relaxed) {
        match stream.read(&mut input[filled..]) {
            Ok(0) => return,
            Ok(length) => filled += length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        }
        if !input[..filled].ends_with(END) {
            continue;
        }
        filled = 0;
        // A health check only connects.
        if !std::mem::replace(&mut counted, true) {
            state.connections.fetch_add(1, Relaxed);
        }
        if stream.write_all(&state.answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_and_connections_counted_that_ask() {
        let backend = Backend::start(([127, 0, 0, 1], 0).into(), "abc").unwrap();
        drop(TcpStream::connect(backend.address).unwrap());
        let mut stream = TcpStream::connect(backend.address).unwrap();
        for pieces in [["GET / HTTP/1.1\r\n\r\n", ""], ["GET / HTTP/1.1\r\nHost: ", "a\r\n\r\n"]] {
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
            let mut answer = vec![0; backend.state.answer.len()];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer.ends_with(
                b"Content-Length: 3\r\nCache-Control: no-store\r\nServer: backend\r\n\r\nabc"
            ));
        }
        assert_eq!(backend.connections(), 1);
    }
}
