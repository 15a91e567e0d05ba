//! One HTTP/1.1 exchange, byte for byte: no library between the test and the
//! wire.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// What follows the head as it is, framed by the test.
    pub raw_body: Option<Vec<u8>>,
}

/// What came back; names in lower case, in the order of the wire.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A connection that stays open between exchanges.
pub struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

/// One exchange on a connection of its own.
pub fn fetch(address: SocketAddr, request: &Request) -> Answer {
    let request = request.clone().header("Connection", "close");
    Connection::open(address).exchange(&request)
}

// === impl Request ===

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers: Vec::new(), body: None, raw_body: None }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", media_type)
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let body = self.body.as_ref().or(self.raw_body.as_ref());
        [head.as_bytes(), body.map_or(&[], Vec::as_slice)].concat()
    }
}

// === impl Connection ===

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        Self { stream: BufReader::new(stream), address }
    }

    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.send(&request.bytes(&self.address.to_string()));
        self.receive(request.method == "HEAD")
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the peer reads");
    }

    /// Another handle on the same connection, to write with.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a descriptor")
    }

    pub fn receive(&mut self, head_only: bool) -> Answer {
        let mut answer = self.receive_head();
        if head_only || answer.status == 204 || answer.status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks();
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().expect("a length"));
        } else {
            self.stream.read_to_end(&mut answer.body).expect("the rest");
        }
        answer
    }

    pub fn receive_head(&mut self) -> Answer {
        let status_line = self.line();
        let (version, rest) = status_line.split_once(' ').expect("a status line");
        let status = rest.get(..3).and_then(|code| code.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').expect("a header line");
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Answer { status, version: version.to_owned(), headers, body: Vec::new() }
    }

    /// So many bytes of the body.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("as many bytes as announced");
        bytes
    }

    /// Whether the peer has closed; whatever is still to come is thrown away.
    pub fn ends(&mut self) -> bool {
        match self.stream.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).expect("a chunk size");
            body.extend(self.exactly(size));
            assert_eq!(self.line(), "", "a chunk ends with its line");
            if size == 0 {
                return body;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).expect("a line");
        assert!(line.ends_with(b"\r\n"), "cut off: {:?}", String::from_utf8_lossy(&line));
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }
}

// === impl Answer ===

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.headers.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.version, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}
