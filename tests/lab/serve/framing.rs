//! Requests that two servers could read in two ways never reach a backend.

use std::net::SocketAddr;

use crate::support::{Balancer, Client, Recording, ask};

/// What an attacker hides behind a request that is read in two ways.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

fn lab() -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = Balancer::over(&[backend.address().to_string()], &[]);
    (backend, balancer)
}

/// Sends the request and the hidden one behind it: one answer, 400, and the end.
#[track_caller]
fn assert_refused(address: SocketAddr, request: &[u8]) {
    let shown = request.escape_ascii();
    let mut client = Client::connect(address);
    client.try_send([request, SMUGGLED.as_bytes()].concat());
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 400 "), "{shown}: {text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{shown}: {text}");
    assert!(text.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{shown}: {text}");
    assert!(text.contains("\"reason\":"), "an answer of the proxy's own: {shown}: {text}");
}

#[test]
fn a_header_with_two_readings_is_400_and_reaches_no_backend() {
    let (backend, balancer) = lab();
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n0\r\n\r\n");
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
    let mut requests = Vec::new();
    // Where the body ends.
    requests.extend(
        [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "content-length: 5\r\ntransfer-encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked;a=b",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding:\tchunked",
            "Transfer-Encoding: chunked\t",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding: chunked\x0c",
            "Transfer-Encoding: chun\0ked",
            "Transfer-Encoding:",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding\t: chunked",
            " Transfer-Encoding: chunked",
            "Transfer-Encoding:\r\n chunked",
            "X: y\r\n Transfer-Encoding: chunked",
            "X: y\rTransfer-Encoding: chunked",
            "X: y\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: 5,",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 0x5",
            "Content-Length: 5 5",
            "Content-Length: 5;",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Content-Length : 5",
            "Content-Length\x0b: 5",
        ]
        .map(post),
    );
    // Whom it is for.
    requests.extend(
        [
            "X: y",
            "Host: a\r\nHost: a",
            "Host: a\r\nHost: b",
            "Host: a\r\nhost: b",
            "Host:",
            "Host: a b",
            "Host: a,b",
            "Host: a/b",
            "Host: a?b",
            "Host: a#b",
            "Host: a\\b",
            "Host: user@a",
            "Host: a:b",
            "Host: a:80:80",
            "Host: a:-1",
            "Host: a:65536",
            "Host: a:123456",
            "Host: [::1",
            "Host: [::1]x",
            "Host: [x]",
            "Host: http://a",
            "Host: a\0b",
            "Host : a",
            "Host: a\r\n b",
        ]
        .map(get),
    );
    // Where a line ends.
    requests.extend(
        [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\rHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\nb: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX\r: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX\0: a\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX Y: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    // What is asked for.
    requests.extend(
        [
            "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET / HTTP/0.9\r\nHost: x\r\n\r\n",
            "GET / http/1.1\r\nHost: x\r\n\r\n",
            "GET /\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://user@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "\x16\x03\x01\x02\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    for request in &requests {
        assert_refused(balancer.address, request.as_bytes());
    }
    assert_eq!(backend.bytes(), 0, "{:#?}", backend.requests());
}

/// Bodies that are not framed as RFC 9112, section 7.1, says.
const BAD_CHUNKS: [&str; 24] = [
    "\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    ";a=b\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nA: b\n\r\n",
    "5\r\nhello\r\n0\r\n folded\r\n\r\n",
];

#[test]
fn a_body_in_malformed_chunks_that_comes_with_its_header_reaches_no_backend() {
    let (backend, balancer) = lab();
    for chunks in BAD_CHUNKS {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_refused(balancer.address, format!("{head}{chunks}").as_bytes());
    }
    assert_eq!(backend.bytes(), 0, "{:#?}", backend.requests());
}

#[test]
fn a_body_whose_chunks_turn_out_malformed_never_becomes_a_whole_request() {
    let (backend, balancer) = lab();
    let (backend, address) = (&backend, balancer.address);
    // All at once, since a client that may still be sending is listened to for 2 s.
    std::thread::scope(|scope| {
        for (number, chunks) in BAD_CHUNKS.iter().enumerate() {
            scope.spawn(move || turns_out_malformed(backend, address, number, chunks));
        }
    });
    assert_eq!(backend.requests().len(), BAD_CHUNKS.len(), "{:#?}", backend.requests());
}

fn turns_out_malformed(backend: &Recording, address: SocketAddr, number: usize, chunks: &str) {
    let path = format!("/{number}");
    let mut client = Client::connect(address);
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    ));
    let begun = backend.wait_for(&path);
    client.try_send(format!("{chunks}{SMUGGLED}"));
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 400 "), "{chunks:?}: {text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{chunks:?}: {text}");
    backend.wait_until_left(&begun);
    let request = backend.wait_for(&path);
    assert!(!request.complete, "{chunks:?}: {request:#?}");
}

#[test]
fn well_formed_chunks_pass_however_they_are_cut() {
    let (backend, balancer) = lab();
    let head = "POST /whole HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let body = "5;a=\"b;c\" ; d\r\nhello\r\nA\r\n0123456789\r\n000\r\nDigest: x\r\n\r\n";
    let answer = ask(balancer.address, format!("{head}{body}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut client = Client::connect(balancer.address);
    for byte in format!("{head}{body}").as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer().unwrap().status, 200);
    // The connection goes on, for the body's end is where the client says.
    client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    let requests = backend.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests[..2] {
        assert_eq!(&request.body[..], b"hello0123456789");
        assert!(request.complete && request.framing_error.is_none(), "{request:#?}");
        // Framed anew: nothing of the client's framing is passed on.
        assert!(!String::from_utf8_lossy(&request.raw_head).contains("Chunked"));
    }
}

#[test]
fn equal_lengths_become_one() {
    let (backend, balancer) = lab();
    for fields in [
        "Content-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,5\r\nContent-Length: 5",
    ] {
        let answer =
            ask(balancer.address, format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\nhello"));
        assert_eq!(answer.status, 200, "{fields}");
    }
    for request in backend.requests() {
        assert_eq!(request.values("content-length"), ["5"]);
        assert!(request.complete && &request.body[..] == b"hello", "{request:#?}");
    }
    assert_eq!(backend.requests().len(), 4);
}

#[test]
fn what_no_parser_takes_is_in_the_access_log_too() {
    let (_backend, balancer) = lab();
    let mut client = Client::connect(balancer.address);
    client.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!(
        (answer.status, answer.json()["error"]["reason"].as_str()),
        (400, Some("bad_request"))
    );
    assert!(client.is_closed());
    let from = client.sender().local_addr().unwrap().to_string();
    let line = balancer.event(|event| {
        (event["target"] == "access" && event["client"] == from.as_str()).then(|| event.clone())
    });
    assert_eq!(
        (line["status"].as_u64(), line["reason"].as_str()),
        (Some(400), Some("bad_request"))
    );
}

#[test]
fn requests_that_come_early_wait_for_their_turn() {
    use pingora_lab::backends::recording::{Act, Gate, Reply};
    let (backend, balancer) = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    backend.set_to(move |request| match request.path() {
        "/slow" => Act::Hold(held.clone(), Reply::ok("slow")),
        _ => Act::Answer(Reply::ok("quick")),
    });
    let mut client = Client::connect(balancer.address);
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    backend.wait_for("/slow");
    client.send("GET /quick?a=rather+long+one HTTP/1.1\r\nHost: x\r\n\r\n");
    // The second is no error of the first, nor lost.
    gate.open();
    assert_eq!(client.answer().expect("the first answer").text(), "slow");
    assert_eq!(client.answer().expect("the second answer").text(), "quick");
    assert_eq!(backend.wait_for("/quick").target, "/quick?a=rather+long+one");
}
