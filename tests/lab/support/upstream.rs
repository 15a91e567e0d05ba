//! A backend that does what a test tells it to, and keeps what it received.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long something is waited for that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `GET /path HTTP/1.1`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// The values of all fields of the name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

type Script = dyn Fn(&Received, &mut TcpStream) -> bool + Send + Sync;

/// A backend on a free loopback port. Dropping it closes the port and every
/// connection.
pub struct Upstream {
    pub address: SocketAddr,
    script: Arc<Script>,
    log: Arc<Log>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Seen>,
    more: Condvar,
    /// By the number of the connection.
    open: Mutex<HashMap<usize, TcpStream>>,
}

/// What has come so far.
#[derive(Default)]
struct Seen {
    received: Vec<Received>,
    connections: usize,
}

impl Upstream {
    /// Answers every request with its name.
    pub fn named(name: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: {name}-server\r\nContent-Length: {}\r\n\r\n{name}",
            name.len()
        );
        Self::scripted(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
    }

    /// The same, each time that it is told to, with what is returned. Once that is
    /// dropped, it closes instead.
    pub fn gated(name: &'static str) -> (Self, Sender<()>) {
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let upstream = Self::scripted(move |_, stream| {
            let Ok(()) = gate.lock().unwrap().recv() else { return false };
            let length = name.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}").is_ok()
        });
        (upstream, open)
    }

    /// One that answers with its name, on this address.
    pub fn at(address: SocketAddr, name: &str) -> Self {
        let mut upstream = Self::named(name);
        upstream.stop();
        upstream.address = address;
        upstream.start();
        upstream
    }

    /// What a script that changes to another protocol does before. It may not be there before
    /// Pingora has handed on that the request is over, which would then be the end of the
    /// tunnel: see `docs/serve.md`, at `Upgrade`.
    pub fn before_a_101() {
        thread::sleep(Duration::from_millis(20));
    }

    /// Does with every request what `script` says, which returns whether the
    /// connection is kept.
    pub fn scripted(
        script: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let mut upstream = Self {
            address: own_loopback_address(),
            script: Arc::new(script),
            log: Arc::default(),
            stopping: Arc::default(),
            acceptor: None,
        };
        upstream.start();
        upstream
    }

    /// An address on which nothing listens.
    pub fn dead() -> SocketAddr {
        let listener = TcpListener::bind(own_loopback_address()).expect("a free port");
        listener.local_addr().expect("a bound address")
    }

    /// Listens (again) on its address.
    pub fn start(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port is free");
        self.address = listener.local_addr().expect("a bound address");
        self.stopping = Arc::default();
        let (script, log) = (Arc::clone(&self.script), Arc::clone(&self.log));
        let stopping = Arc::clone(&self.stopping);
        self.acceptor = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let number = log.note(|seen| {
                    seen.connections += 1;
                    seen.connections
                });
                let second = stream.try_clone().expect("a second handle");
                log.open.lock().unwrap().insert(number, second);
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || {
                    serve(stream, &*script, &log);
                    log.open.lock().unwrap().remove(&number);
                });
            }
        }));
    }

    /// Closes the port and every connection.
    pub fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor; if it is gone already, nobody answers.
        let _ = TcpStream::connect(self.address);
        let _ = acceptor.join();
        for (_, stream) in self.log.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.log.seen.lock().unwrap().received.clone()
    }

    /// How many connections were opened so far, health checks included.
    pub fn connections(&self) -> usize {
        self.log.seen.lock().unwrap().connections
    }
}

/// A loopback address that no other test uses, with any port. So the port of a
/// backend that is down stays free: nobody else is given it, and a connection to
/// it cannot by chance come from it (on 127.0.0.1, where outgoing connections
/// begin, it can).
fn own_loopback_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    SocketAddr::from(([127, 66, high, low], 0))
}

impl Upstream {
    /// Waits until so many requests have come.
    pub fn wait_for_requests(&self, count: usize) {
        self.log.wait(count, "requests", |seen| seen.received.len());
    }

    /// Waits until so many connections were opened, health checks included.
    pub fn wait_for_connections(&self, count: usize) {
        self.log.wait(count, "connections", |seen| seen.connections);
    }
}

impl Log {
    fn note<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let noted = change(&mut self.seen.lock().unwrap());
        self.more.notify_all();
        noted
    }

    fn wait(&self, count: usize, what: &str, of: impl Fn(&Seen) -> usize) {
        let seen = self.seen.lock().unwrap();
        let few = |seen: &mut Seen| of(seen) < count;
        let (seen, late) = self.more.wait_timeout_while(seen, PATIENCE, few).unwrap();
        // Not under the lock, so that others can go on.
        let came = of(&seen);
        drop(seen);
        assert!(!late.timed_out(), "{came} of {count} {what}");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: TcpStream, script: &Script, log: &Log) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    while let Some(received) = read(&mut reader) {
        log.note(|seen| seen.received.push(received.clone()));
        if !script(&received, &mut writer) {
            break;
        }
    }
    let _ = writer.shutdown(Shutdown::Both);
}

fn read(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = || {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            _ => None,
        }
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let field = line()?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').expect("a field");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received = Received { line: first, headers, body: Vec::new() };
    if let Some(length) = received.values("content-length").first() {
        received.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut received.body).ok()?;
    } else if received.values("transfer-encoding") == ["chunked"] {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            received.body.extend_from_slice(&chunk[..size]);
        }
    }
    Some(received)
}
