//! What a panic inside one request leaves behind: that request's end, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::{entrances, listener};
use super::*;
use crate::config::LogFormat;
use crate::proxy::access_log::{AccessLog, Form, Queue};
use crate::proxy::faults::FIELD;
use crate::proxy::witness::Witness;
use crate::proxy::{Current, InFlight, Metrics, Snapshot};

/// Longer than anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The phases that a request passes.
const PHASES: [&str; 4] = ["request", "upstream_request", "response", "response_body"];

/// A load balancer in this process, in front of one backend that takes one request at a
/// time and turns the others away.
struct Lab {
    address: SocketAddr,
    in_flight: InFlight,
    connections: Connections,
    current: Arc<Current>,
    metrics: Metrics,
    lines: Arc<Queue>,
    /// Lets one request to `/held` be answered.
    open: mpsc::Sender<()>,
    /// Says when one has come.
    held: mpsc::Receiver<()>,
    _shutdown: watch::Sender<bool>,
}

impl Lab {
    async fn start() -> Self {
        let (arrived, held) = mpsc::channel(8);
        let (open, gate) = mpsc::channel(8);
        let gate = Arc::new(tokio::sync::Mutex::new(gate));
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n\
             [[route]]\nname = 'held'\nprefix = '/held'\npool = 'held'\n\
             [[route]]\nname = 'one'\npool = 'one'\n\
             [[pool]]\nname = 'held'\n[[pool.backend]]\naddress = '{0}'\n\
             [[pool]]\nname = 'one'\nmax_requests = 1\nqueue = {{ length = 0 }}\n\
             [[pool.backend]]\nname = 'b'\naddress = '{0}'\n",
            backend.local_addr().unwrap()
        );
        let config: Config = toml::from_str(&text).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = backend.accept().await {
                tokio::spawn(answer(stream, arrived.clone(), Arc::clone(&gate)));
            }
        });
        let (metrics, in_flight) = (Metrics::on(), InFlight::default());
        let (connections, lines) = (Connections::new(u32::MAX), Arc::<Queue>::default());
        let snapshot = Snapshot::prepare(&config, None, &metrics).unwrap();
        for pool in snapshot.pools() {
            pool.resolve().await.unwrap();
            pool.check().await;
        }
        let current = Current::new(snapshot);
        let form = Form { format: LogFormat::Json, colour: false };
        let log = AccessLog::new(form, Arc::clone(&lines));
        let witness = Witness::new(Some(log), metrics.clone());
        let proxy = Proxy::new(Arc::clone(&current), in_flight.clone(), witness);
        let addresses = config.listeners.iter().map(|listener| listener.address);
        let sockets = listener::Sockets::bind("listener", addresses, None).unwrap();
        let addresses: Vec<_> = sockets.addresses().collect();
        let doors = sockets.into_std().into_iter().zip(entrances(&config).unwrap()).collect();
        let (shutdown, shutting_down) = watch::channel(false);
        let departure = Departure::new();
        let accepting = accept(&config, proxy, &connections, doors, &departure, &shutting_down);
        tokio::spawn(accepting.unwrap());
        Self {
            address: addresses[0],
            in_flight,
            connections,
            current,
            metrics,
            lines,
            open,
            held,
            _shutdown: shutdown,
        }
    }

    /// All that is answered to a request over a connection of its own.
    async fn ask(&self, path: &str, field: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {field}\r\n");
        let fault = format!("{FIELD}: {field}\r\nConnection: close\r\n\r\n");
        stream.write_all(format!("{request}{fault}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        // A reset is an end too.
        let _ = read.expect("the connection ends");
        answer
    }

    /// The lines of the access log since the last call, at least one.
    async fn lines(&self) -> Vec<serde_json::Value> {
        let lines = Arc::clone(&self.lines);
        let taken = tokio::task::spawn_blocking(move || {
            let mut batch = Vec::new();
            lines.take(&mut batch);
            batch
        });
        let batch = tokio::time::timeout(PATIENCE, taken).await.expect("a line").unwrap();
        let lines = batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// Waits until so many requests and connections are there.
    async fn settle(&self, requests: usize, connections: u32) {
        let settled = async {
            while (self.in_flight.count(), self.connections.open()) != (requests, connections) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, settled).await.is_ok();
        assert!(in_time, "{} {}", self.in_flight.count(), self.connections.open());
    }

    fn metrics(&self) -> String {
        let page = self.metrics.page(&self.current.load(), &self.in_flight).unwrap();
        page.to_text().unwrap()
    }
}

/// Answers the requests of a connection, those to `/held` when it is time.
async fn answer(
    stream: TcpStream,
    arrived: mpsc::Sender<()>,
    gate: Arc<tokio::sync::Mutex<mpsc::Receiver<()>>>,
) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut held) = (String::new(), false);
    while let Ok(1..) = stream.read_line(&mut line).await {
        held |= line.starts_with("GET /held ");
        if line == "\r\n" {
            if std::mem::take(&mut held) {
                arrived.send(()).await.unwrap();
                gate.lock().await.recv().await.unwrap();
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
        line.clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_request_and_gives_back_all_that_it_had() {
    let mut lab = Lab::start().await;
    let other = tokio::spawn({
        let mut stream = TcpStream::connect(lab.address).await.unwrap();
        async move {
            stream.write_all(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            (stream, String::from_utf8(answer.to_vec()).unwrap())
        }
    });
    lab.held.recv().await.unwrap();
    for phase in PHASES {
        let answer = lab.ask("/", phase).await;
        assert!(!answer.contains("ok"), "{phase}: {answer}");
        lab.settle(1, 1).await;
        let lines = lab.lines().await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!((&line["status"], &line["reason"]), (&500.into(), &"internal".into()), "{line}");
        assert_eq!((&line["route"], &line["request_id"]), (&"one".into(), &phase.into()), "{line}");
        let backend = if phase == "request" { "-" } else { "b" };
        assert_eq!(line["backend"], backend, "{line}");
        // Its place at the backend is free: there is one, and nobody may wait for it.
        let answer = lab.ask("/", "none").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{phase}: {answer}");
        lab.settle(1, 1).await;
        assert_eq!(lab.lines().await[0]["status"], 200);
    }
    let metrics = lab.metrics();
    for series in [
        "pingora_lab_request_failures_total{route=\"one\",reason=\"internal\"} 4",
        "pingora_lab_requests_total{route=\"one\",backend=\"-\",method=\"other\",status=\"5xx\"} 1",
        "pingora_lab_requests_total{route=\"one\",backend=\"b\",method=\"other\",status=\"5xx\"} 3",
        "pingora_lab_requests_total{route=\"one\",backend=\"b\",method=\"GET\",status=\"2xx\"} 4",
        "pingora_lab_requests_in_flight 1",
    ] {
        assert!(metrics.contains(&format!("{series}\n")), "{series}\n{metrics}");
    }
    // What began before is finished after.
    lab.open.send(()).await.unwrap();
    let (stream, answer) = other.await.unwrap();
    assert_eq!(answer, "HTTP/1.1 200 OK");
    drop(stream);
    lab.settle(0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_stream_of_http_2_ends_that_stream() {
    let mut lab = Lab::start().await;
    let stream = TcpStream::connect(lab.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let begin = |path: &str, fault: &str| {
        let request = http::Request::get(format!("http://x{path}")).header(FIELD, fault);
        let request = request.body(()).unwrap();
        let client = client.clone();
        async move {
            let (answer, _) = client.ready().await?.send_request(request, true)?;
            let mut body = answer.await?.into_body();
            let mut whole = Vec::<Bytes>::new();
            while let Some(data) = body.data().await {
                whole.push(data?);
            }
            Ok::<_, h2::Error>(whole.concat())
        }
    };
    let other = tokio::spawn(begin("/held", "none"));
    lab.held.recv().await.unwrap();
    for phase in PHASES {
        let error = tokio::time::timeout(PATIENCE, begin("/", phase)).await.expect("an end");
        assert!(error.as_ref().is_err_and(h2::Error::is_reset), "{phase}: {error:?}");
        lab.settle(1, 1).await;
        assert_eq!(begin("/", "none").await.unwrap(), b"ok", "{phase}");
        lab.settle(1, 1).await;
    }
    lab.open.send(()).await.unwrap();
    assert_eq!(other.await.unwrap().unwrap(), b"ok");
    drop(client);
    connection.await.unwrap().unwrap();
    lab.settle(0, 0).await;
}
