//! Clients that send one request after the other and count what becomes of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many failures are described.
const EXAMPLES: usize = 5;

/// What an answer must be; what is wrong with it otherwise.
type Check = dyn Fn(&Reply) -> Result<(), String> + Send + Sync;

/// What each client does.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub request: String,
    /// After how many requests a client connects anew.
    pub per_connection: usize,
    /// How long it waits between two requests.
    pub pace: Duration,
    /// The name to ask for over TLS.
    pub tls: Option<(Arc<ClientConfig>, &'static str)>,
    pub check: Arc<Check>,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Clients at work.
pub struct Running {
    stop: Arc<AtomicBool>,
    clients: JoinHandle<Outcome>,
}

/// What became of their requests.
pub struct Outcome {
    pub answered: u64,
    pub failed: u64,
    examples: Vec<String>,
    /// In microseconds.
    latency: Histogram<u64>,
}

trait Wire: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Wire for T {}

impl Load {
    /// GET, over kept connections, as fast as it is answered: 200 each.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            address,
            request: "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            per_connection: usize::MAX,
            pace: Duration::ZERO,
            tls: None,
            check: Arc::new(|reply| match reply.status {
                200 => Ok(()),
                status => Err(format!("{status} {}", String::from_utf8_lossy(&reply.body))),
            }),
        }
    }

    /// So many clients, until they are stopped.
    pub fn start(self, clients: usize) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let clients = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
            runtime.block_on(async {
                let clients: Vec<_> = (0..clients)
                    .map(|_| tokio::spawn(self.clone().go_on(Arc::clone(&stopped))))
                    .collect();
                let mut outcome = Outcome::new();
                for client in clients {
                    outcome.add(client.await.expect("a client does not panic"));
                }
                outcome
            })
        });
        Running { stop, clients }
    }

    async fn go_on(self, stop: Arc<AtomicBool>) -> Outcome {
        let mut outcome = Outcome::new();
        while !stop.load(Ordering::Relaxed) {
            let mut wire = match timeout(PATIENCE, self.connect()).await {
                Ok(Ok(wire)) => wire,
                Ok(Err(error)) => {
                    outcome.fail(format!("connecting: {error}"));
                    continue;
                }
                Err(_) => {
                    outcome.fail("connecting: no end".to_owned());
                    continue;
                }
            };
            for _ in 0..self.per_connection {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let begun = Instant::now();
                let reply = match timeout(PATIENCE, exchange(&mut wire, &self.request)).await {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(error)) => {
                        outcome.fail(error.to_string());
                        break;
                    }
                    Err(_) => {
                        outcome.fail("no answer".to_owned());
                        break;
                    }
                };
                match (self.check)(&reply) {
                    Ok(()) => outcome.succeed(begun.elapsed()),
                    Err(wrong) => outcome.fail(wrong),
                }
                if reply.header("connection").is_some_and(|value| value == "close") {
                    break;
                }
                if !self.pace.is_zero() {
                    tokio::time::sleep(self.pace).await;
                }
            }
        }
        outcome
    }

    async fn connect(&self) -> io::Result<Pin<Box<dyn Wire>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::pin(stream),
            Some((config, name)) => {
                let name = ServerName::try_from(*name).expect("a name");
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                Box::pin(connector.connect(name, stream).await?)
            }
        })
    }
}

/// Sends a request and reads its answer, which has a length.
pub async fn exchange(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> io::Result<Reply> {
    wire.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1024);
    let (mut reply, length, begins) = loop {
        if wire.read_buf(&mut bytes).await? == 0 {
            let what = if bytes.is_empty() { "closed without an answer" } else { "half a header" };
            return Err(io::Error::other(what));
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(begins)) = head.parse(&bytes) else { continue };
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8_lossy(field.value).into_owned();
                (field.name.to_ascii_lowercase(), value)
            })
            .collect();
        let reply = Reply { status: head.code.unwrap_or(0), headers, body: Vec::new() };
        let length: usize =
            reply.header("content-length").unwrap_or("0").parse().expect("a number");
        break (reply, length, begins);
    };
    while bytes.len() < begins + length {
        if wire.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other("half a body"));
        }
    }
    reply.body = bytes.split_off(begins);
    Ok(reply)
}

impl Reply {
    /// The first field of the name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Running {
    /// Has them stop after the requests that they have sent.
    pub fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join().expect("the clients do not panic")
    }
}

impl Outcome {
    fn new() -> Self {
        let latency = Histogram::new(3).expect("a histogram");
        Self { answered: 0, failed: 0, examples: Vec::new(), latency }
    }

    fn succeed(&mut self, took: Duration) {
        self.answered += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency.record(micros).expect("a histogram that grows");
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(why);
        }
    }

    /// Takes in what became of others.
    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.latency.add(other.latency).expect("histograms of one kind");
    }

    /// The time that this share of the answers took no longer than.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(share))
    }

    /// Fails the test if a request has, or if there were none.
    pub fn assert_none_failed(&self) {
        assert!(
            self.failed == 0,
            "{} of {} failed: {:#?}",
            self.failed,
            self.answered,
            self.examples
        );
        assert!(self.answered > 0, "nothing was asked");
    }
}
