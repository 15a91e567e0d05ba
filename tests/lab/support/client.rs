//! A client that says exactly what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::certificates::{Secured, Wire};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that requests are written to byte by byte.
pub struct Client {
    stream: BufReader<Box<dyn Wire>>,
    socket: TcpStream,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::from(TcpStream::connect(address).expect("the server accepts"))
    }

    /// From this address of the machine, any of 127.0.0.0/8.
    pub fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a free port");
        socket.connect(&address.into()).expect("the server accepts");
        Self::from(TcpStream::from(socket))
    }

    /// A second handle, to send while somebody else reads.
    pub fn sender(&self) -> TcpStream {
        self.socket.try_clone().expect("a second handle")
    }

    /// Ends the connection with a reset, not in order.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.socket);
        socket.set_linger(Some(Duration::ZERO)).expect("an option that all systems have");
    }

    /// GET with these further header lines, over this connection.
    pub fn get(&mut self, path: &str, fields: &[&str]) -> Answer {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        self.answer().expect("an answer")
    }

    /// Sends what the server may no longer want.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// Reads what there is, once there is something.
    pub fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(bytes)
    }

    /// Reads everything up to the end of the connection.
    pub fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
        self.stream.read_to_end(bytes)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Reads one answer; `None` if the connection ends before it begins.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.header()?;
        if matches!(answer.status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut answer.body).expect("a whole body");
        } else if answer.header("transfer-encoding") == Some("chunked") {
            self.chunked(&mut answer);
        } else {
            self.stream.read_to_end(&mut answer.body).expect("a body up to the end");
        }
        Some(answer)
    }

    /// Reads the header of an answer; `None` if the connection ends before it begins.
    pub fn header(&mut self) -> Option<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).expect("a status").parse().expect("a number");
        let headers = self.fields();
        Some(Answer { status, headers, body: Vec::new(), trailers: Vec::new() })
    }

    fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().expect("a whole header");
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(':').expect("a field");
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Whether the server has closed the connection; waits for it or for data.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => is_gone(&error),
        }
    }

    fn chunked(&mut self, answer: &mut Answer) {
        loop {
            let size = self.line().expect("a chunk size");
            let size = usize::from_str_radix(&size, 16).expect("a hexadecimal size");
            if size == 0 {
                answer.trailers = self.fields();
                return;
            }
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).expect("a whole chunk");
            answer.body.extend_from_slice(&chunk[..size]);
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) if is_gone(&error) => None,
            Err(error) => panic!("the answer does not come: {error}"),
        }
    }
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        let socket = stream.try_clone().expect("a second handle");
        Self { stream: BufReader::new(Box::new(stream)), socket }
    }
}

impl From<Secured> for Client {
    fn from(stream: Secured) -> Self {
        let socket = stream.sock.try_clone().expect("a second handle");
        Self { stream: BufReader::new(Box::new(stream)), socket }
    }
}

/// Whether the other side has gone: with a reset, or, over TLS, without a word.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof)
}

impl Answer {
    /// The first field of the name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// How many fields of the name there are.
    pub fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(other, _)| other == name).count()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a UTF-8 body")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// Sends the bytes of one request over a connection of its own.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(address);
    client.send(request);
    client.answer().expect("an answer")
}

/// GET with these further header lines.
pub fn get(address: SocketAddr, path: &str, fields: &[&str]) -> Answer {
    let host = match fields.iter().any(|f| f.to_ascii_lowercase().starts_with("host:")) {
        true => String::new(),
        false => format!("Host: {address}\r\n"),
    };
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    ask(address, format!("GET {path} HTTP/1.1\r\n{host}{fields}\r\n"))
}
