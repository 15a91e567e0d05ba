//! Requests without a pause over connections that are kept, for which the judge takes as little
//! of the machine as it can: their bytes are there beforehand, and so is what must come back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::judge::client::{Answer, whole_answer};

/// How long an answer may take. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// No answer of the check is as long.
const LONGEST: usize = 64 * 1024;

/// A request, and what must come back.
#[derive(Debug)]
pub struct Prepared {
    /// In words.
    pub asked: String,
    bytes: Vec<u8>,
    body: String,
    /// The end of a right answer with a length.
    plain: Vec<u8>,
}

/// Connections to one program, which take turns with a list of requests.
#[derive(Debug)]
pub struct Load {
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    target: SocketAddr,
    requests: Arc<[Prepared]>,
    next: usize,
    connection: Option<TcpStream>,
    /// Whether the connection has brought an answer.
    used: bool,
    input: Vec<u8>,
}

/// What a while of load has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Answers that came in time.
    pub in_time: u64,
    /// All answers, with those to requests that were under way at the end.
    pub answers: u64,
    /// Connections that were made.
    pub connections: u64,
    /// From the first request to the last answer.
    pub took: Duration,
}

/// What came instead of a right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The request, in words.
    pub asked: String,
    /// What came of it.
    pub how: String,
    /// Whether it only took too long.
    pub timed: bool,
}

/// How one try of a request over a connection ended, if not with the right answer.
enum Broken {
    /// The connection was closed before anything came.
    Closed,
    Wrong {
        how: String,
        timed: bool,
    },
}

// === impl Prepared ===

impl Prepared {
    /// A GET with these fields, whose answer is 200 with this body.
    pub fn new(host: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Self {
        let fields: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self {
            asked: format!("GET {target} of {host}"),
            bytes: format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").into_bytes(),
            body: body.to_owned(),
            plain: format!("\r\n\r\n{body}").into_bytes(),
        }
    }

    /// Whether this is the right answer, whole; none as long as it is not complete.
    fn right(&self, input: &[u8]) -> Option<Result<(), String>> {
        // What nearly all answers look like is known without reading them.
        if input.starts_with(b"HTTP/1.1 200 ") && input.ends_with(&self.plain) {
            return Some(Ok(()));
        }
        match whole_answer("GET", &mut BytesMut::from(input)) {
            Ok(None) => None,
            Ok(Some(Answer { status: 200, body, .. })) if body == self.body.as_bytes() => {
                Some(Ok(()))
            }
            Ok(Some(Answer { status: 200, body, .. })) => {
                let body = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
                Some(Err(format!("status 200 with another body: {body}")))
            }
            Ok(Some(answer)) => Some(Err(format!("status {}", answer.status))),
            Err(trouble) => Some(Err(trouble.to_string())),
        }
    }
}

// === impl Load ===

impl Load {
    /// So many connections, each of which begins elsewhere in the list.
    pub fn new(target: SocketAddr, requests: &Arc<[Prepared]>, connections: usize) -> Self {
        let client = |number| Client {
            target,
            requests: Arc::clone(requests),
            next: number,
            connection: None,
            used: false,
            input: vec![0; LONGEST],
        };
        Self { clients: (0..connections).map(client).collect() }
    }

    /// Sends requests for so long, and waits for the answers to those that are under way
    /// then. It blocks.
    ///
    /// # Errors
    ///
    /// The first that came to something else than its right answer.
    pub fn run(&mut self, length: Duration) -> Result<Slice, Wrong> {
        let begun = Instant::now();
        let until = begun + length;
        let slice = thread::scope(|scope| {
            let run = |client| scope.spawn(move || Client::run(client, until));
            let running: Vec<_> = self.clients.iter_mut().map(run).collect();
            let ended = running.into_iter().map(|one| match one.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ended.collect::<Vec<_>>().into_iter().try_fold(Slice::default(), |sum, one| {
                let one = one?;
                Ok(Slice {
                    in_time: sum.in_time + one.in_time,
                    answers: sum.answers + one.answers,
                    connections: sum.connections + one.connections,
                    took: Duration::ZERO,
                })
            })
        })?;
        Ok(Slice { took: begun.elapsed(), ..slice })
    }
}

// === impl Client ===

impl Client {
    fn run(&mut self, until: Instant) -> Result<Slice, Wrong> {
        let mut slice = Slice::default();
        while Instant::now() < until {
            self.next = (self.next + 1) % self.requests.len();
            self.answered(&mut slice)?;
            slice.answers += 1;
            slice.in_time += u64::from(Instant::now() <= until);
        }
        Ok(slice)
    }

    /// Sends the next request, over a new connection where the one that is kept was closed:
    /// RFC 9112 (9.3.1) has the client come again then.
    fn answered(&mut self, slice: &mut Slice) -> Result<(), Wrong> {
        let requests = Arc::clone(&self.requests);
        let request = &requests[self.next];
        loop {
            let kept = self.used;
            let broken = match self.exchange(request, slice) {
                Ok(()) => return Ok(()),
                Err(broken) => broken,
            };
            (self.connection, self.used) = (None, false);
            let (how, timed) = match broken {
                Broken::Closed if kept => continue,
                Broken::Closed => ("the connection was closed without an answer".to_owned(), false),
                Broken::Wrong { how, timed } => (how, timed),
            };
            return Err(Wrong { asked: request.asked.clone(), how, timed });
        }
    }

    fn exchange(&mut self, request: &Prepared, slice: &mut Slice) -> Result<(), Broken> {
        let stream = match &mut self.connection {
            Some(stream) => stream,
            none => {
                slice.connections += 1;
                none.insert(connect(self.target).map_err(|error| {
                    let timed = error.kind() == ErrorKind::TimedOut;
                    Broken::Wrong { how: format!("no connection: {error}"), timed }
                })?)
            }
        };
        stream.write_all(&request.bytes).map_err(|_| Broken::Closed)?;
        let mut filled = 0;
        loop {
            match stream.read(&mut self.input[filled..]) {
                Ok(0) if filled == 0 => return Err(Broken::Closed),
                Ok(0) => return Err(wrong("the answer was cut")),
                Ok(length) => filled += length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    let how = format!("no complete answer within {} s", PATIENCE.as_secs());
                    return Err(Broken::Wrong { how, timed: true });
                }
                Err(_) if filled == 0 => return Err(Broken::Closed),
                Err(error) => return Err(wrong(&format!("the answer was cut: {error}"))),
            }
            match request.right(&self.input[..filled]) {
                Some(Ok(())) => break,
                Some(Err(how)) => return Err(wrong(&how)),
                None if filled == self.input.len() => return Err(wrong("an answer without end")),
                None => {}
            }
        }
        self.used = true;
        Ok(())
    }
}

fn wrong(how: &str) -> Broken {
    Broken::Wrong { how: how.to_owned(), timed: false }
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::backend::Backend;
    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    fn requests(bodies: &[&str]) -> Arc<[Prepared]> {
        bodies.iter().map(|body| Prepared::new("a.test", "/", &[("Accept", "*/*")], body)).collect()
    }

    #[test]
    fn right_answers_are_counted_and_connections_are_kept() {
        let backend = Backend::start(([127, 0, 0, 1], 0).into(), "abc").unwrap();
        let mut load = Load::new(backend.address, &requests(&["abc"]), 3);
        let first = load.run(SHORT).unwrap();
        assert!(first.in_time > 0 && first.in_time <= first.answers, "{first:?}");
        assert_eq!(first.connections, 3);
        assert_eq!(load.run(SHORT).unwrap().connections, 0);
        assert_eq!(backend.connections(), 3);
    }

    #[test]
    fn another_body_is_told_with_the_request() {
        let backend = Backend::start(([127, 0, 0, 1], 0).into(), "abc").unwrap();
        let wrong = Load::new(backend.address, &requests(&["abd"]), 1).run(SHORT).unwrap_err();
        assert_eq!(wrong.asked, "GET / of a.test");
        assert_eq!(wrong.how, "status 200 with another body: abc");
    }

    #[test]
    fn however_an_answer_is_framed_it_is_the_same() {
        let request = &requests(&["abcd"])[0];
        for (answer, right) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", Some(Ok(()))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
                Some(Ok(())),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
                Some(Ok(())),
            ),
            (
                "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nabcd",
                Some(Err("status 503".to_owned())),
            ),
        ] {
            assert_eq!(request.right(answer.as_bytes()), right, "{answer}");
        }
    }

    #[test]
    fn one_that_closes_after_each_answer_is_asked_again_and_one_that_never_answers_is_wrong() {
        let serve = |answer: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.read(&mut [0; 1024]);
                    let _ = stream.write_all(answer);
                }
            });
            Load::new(address, &requests(&["abc"]), 1).run(SHORT)
        };
        let slice = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!(slice.connections, slice.answers);
        assert!(slice.answers > 1, "{slice:?}");
        let how = |answer| serve(answer).unwrap_err().how;
        assert_eq!(how(b""), "the connection was closed without an answer");
        assert_eq!(how(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), "the answer was cut");
    }
}
