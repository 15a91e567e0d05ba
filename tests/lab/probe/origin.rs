//! A server that does exactly what a test says, down to the byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long an event may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Received {
    /// The first line.
    pub line: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The number of the connection that it came over, from 1.
    pub connection: usize,
}

/// A listener on a free loopback port; ended when dropped.
pub struct Origin {
    address: SocketAddr,
    log: Arc<Log>,
    ends: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    received: Mutex<Vec<Received>>,
    more: Condvar,
}

/// One connection that was accepted.
pub struct Peer {
    stream: BufReader<TcpStream>,
    number: usize,
    log: Arc<Log>,
}

// === impl Origin ===

impl Origin {
    /// Does this with every connection, each in its own thread.
    pub fn script(script: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let log = Arc::new(Log::default());
        let ends = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let (peer_log, acceptor_ends) = (Arc::clone(&log), Arc::clone(&ends));
        let acceptor = thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                if acceptor_ends.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.expect("a connection");
                stream.set_nodelay(true).expect("a socket option");
                let peer = Peer {
                    stream: BufReader::new(stream),
                    number: index + 1,
                    log: Arc::clone(&peer_log),
                };
                let script = Arc::clone(&script);
                thread::spawn(move || script(peer));
            }
        });
        Self { address, log, ends, acceptor: Some(acceptor) }
    }

    /// Answers every request with these bytes and keeps the connection.
    pub fn answering(answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::script(move |mut peer| {
            while let Some(request) = peer.receive() {
                if !peer.send(&answer(&request)) {
                    return;
                }
            }
        })
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.log.received.lock().expect("no holder panics").clone()
    }

    /// Waits until so many requests were received.
    pub fn wait_for(&self, count: usize) {
        let received = self.log.received.lock().expect("no holder panics");
        let (received, waited) = self
            .log
            .more
            .wait_timeout_while(received, PATIENCE, |received| received.len() < count)
            .expect("no holder panics");
        assert!(!waited.timed_out(), "{} of {count} requests came", received.len());
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The next request, whole; `None` when the client has gone.
    pub fn receive(&mut self) -> Option<Received> {
        let line = self.line().filter(|line| !line.is_empty())?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        let received = Received { line, headers, body, connection: self.number };
        self.log.received.lock().expect("no holder panics").push(received.clone());
        self.log.more.notify_all();
        Some(received)
    }

    /// Sends bytes as they are; false when the client has gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Answers no more and waits until the client has gone.
    pub fn hang(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) {
        let linger = rustix::net::sockopt::set_socket_linger;
        linger(self.stream.get_ref(), Some(Duration::ZERO)).expect("a socket option");
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }
}

/// A response: status line, these headers, `content-length`, body.
pub fn response(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("\r\n{body}"));
    text.into_bytes()
}

/// Headers in the form in which a lab backend reports them.
pub fn report<N: AsRef<str>, V: AsRef<str>>(headers: &[(N, V)]) -> String {
    let pairs: Vec<_> =
        headers.iter().map(|(name, value)| [name.as_ref(), value.as_ref()]).collect();
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&pairs).expect("pairs are JSON"))
}

/// What a client behind a proxy gets from a lab backend: the proxy added
/// `via: lab-proxy` and a request id to the request and `x-proxy: demo` to the
/// response, changed the host, and removed `server`.
pub fn proxied(backend: &str, request: &Received) -> Vec<u8> {
    let mut seen = request.headers.clone();
    for (name, value) in &mut seen {
        if name == "host" {
            *value = backend.to_owned();
        }
    }
    seen.push(("via".into(), "lab-proxy".into()));
    seen.push(("x-request-id".into(), format!("id-{}", request.connection)));
    let sent = [("content-length", "2"), ("server", "lab"), ("x-lab-backend", backend)];
    let headers = [
        ("x-lab-backend", backend),
        ("x-proxy", "demo"),
        ("x-lab-observed-request", &report(&seen)),
        ("x-lab-observed-response", &report(&sent)),
    ];
    response("200 OK", &headers, "ok")
}

/// What a client gets from a lab backend that it talks to directly.
pub fn unproxied(request: &Received) -> Vec<u8> {
    let sent = [("content-length", "2"), ("x-lab-backend", "lab")];
    let headers = [
        ("x-lab-backend", "lab"),
        ("x-lab-observed-request", &report(&request.headers)),
        ("x-lab-observed-response", &report(&sent)),
    ];
    response("200 OK", &headers, "ok")
}
