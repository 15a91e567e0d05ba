//! What one client may take: time, bytes, connections.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use pingora_lab::backends::recording::{Act, Reply};

use crate::support::{Answer, Balancer, Client, Recording, ask, get};

/// Time in which a machine that is busy with other things still does what is due.
const SOON: Duration = Duration::from_secs(5);

fn limited(limits: &str) -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[limits]\n{limits}\n[[pool]]\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    (backend, balancer)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["error"]["reason"], reason);
    assert_eq!(answer.header("connection"), Some("close"));
}

/// Sends a byte at a time, for as long as anybody takes it.
fn drip(client: &Client, bytes: &'static str) -> thread::JoinHandle<()> {
    let mut sender = client.sender();
    thread::spawn(move || {
        for byte in bytes.bytes().cycle() {
            if sender.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_header_that_comes_byte_by_byte_is_408_in_time_whichever_request_it_is() {
    let (backend, balancer) = limited("header_timeout = \"500ms\"");
    for earlier in 0..2 {
        let mut client = Client::connect(balancer.address);
        for _ in 0..earlier {
            client.send("GET /whole HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.answer().unwrap().status, 200);
        }
        let begun = Instant::now();
        client.send("GET /slow HTTP/1.1\r\nX: ");
        let dripping = drip(&client, "x");
        let answer = client.answer().expect("an answer");
        let took = begun.elapsed();
        assert_refused(&answer, 408, "client_timeout");
        assert!(took >= Duration::from_millis(400) && took < SOON, "{took:?}");
        assert!(client.is_closed());
        drop(client);
        dripping.join().unwrap();
    }
    assert!(backend.requests().iter().all(|request| request.path() == "/whole"));
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let (_backend, balancer) = limited("header_timeout = \"500ms\"\nidle_timeout = \"300ms\"");
    let begun = Instant::now();
    let mut silent = Client::connect(balancer.address);
    let mut idle = Client::connect(balancer.address);
    idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.answer().unwrap().status, 200);
    assert!(idle.is_closed(), "without an answer, for nothing was asked");
    assert!(silent.is_closed());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500) && took < SOON, "{took:?}");
}

#[test]
fn a_body_that_falls_silent_is_408_and_no_whole_request() {
    let (backend, balancer) = limited("body_timeout = \"300ms\"");
    for (path, body) in [
        ("/sized", "Content-Length: 10\r\n\r\nhello"),
        ("/chunked", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ] {
        let mut client = Client::connect(balancer.address);
        let begun = Instant::now();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\n{body}"));
        assert_refused(&client.answer().expect("an answer"), 408, "client_timeout");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(300) && took < SOON, "{took:?}");
        assert!(client.is_closed());
        let request = backend.wait_for(path);
        backend.wait_until_left(&request);
        assert!(!backend.wait_for(path).complete);
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_408() {
    let (backend, balancer) = limited("body_rate = \"1KiB\"");
    let mut client = Client::connect(balancer.address);
    let begun = Instant::now();
    client.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    let dripping = drip(&client, "x");
    assert_refused(&client.answer().expect("an answer"), 408, "client_timeout");
    // The first ten seconds of waiting are everybody's.
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(20), "{took:?}");
    drop(client);
    dripping.join().unwrap();
    assert!(!backend.wait_for("/slow").complete);
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let (backend, balancer) = limited("write_timeout = \"500ms\"");
    backend.always(Act::Answer(Reply::ok(vec![b'x'; 64 * 1024 * 1024])));
    let mut client = Client::connect(balancer.address);
    client.send("GET /large HTTP/1.1\r\nHost: x\r\nX-Request-Id: unread\r\n\r\n");
    let begun = Instant::now();
    let line = balancer.access("unread");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500) && took < SOON, "{took:?}");
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["reason"], "client_timeout", "{line}");
    backend.wait_until_left(&backend.wait_for("/large"));
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 64 * 1024 * 1024);
}

#[test]
fn a_client_that_takes_its_answer_too_slowly_is_let_go() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let (backend, balancer) = limited("answer_rate = \"8MiB\"");
    backend.always(Act::Answer(Reply::ok(vec![b'x'; LENGTH])));
    let address = balancer.address;
    let slow = thread::spawn(move || {
        let mut client = Client::connect(address);
        let begun = Instant::now();
        client.send("GET /slow HTTP/1.1\r\nHost: x\r\nX-Request-Id: slow\r\n\r\n");
        let (mut piece, mut taken) = (vec![0; 64 * 1024], 0);
        // It is never silent for long.
        while let Ok(count @ 1..) = client.read(&mut piece) {
            taken += count;
            thread::sleep(Duration::from_millis(100));
            assert!(begun.elapsed() < Duration::from_secs(40), "{taken} bytes");
        }
        taken
    });
    // Others get theirs meanwhile.
    let quick = get(address, "/large", &["X-Request-Id: quick"]);
    assert_eq!((quick.status, quick.body.len()), (200, LENGTH));
    assert!(balancer.access("quick")["reason"].is_null());
    let line = balancer.access("slow");
    assert_eq!(line["status"], 200, "{line}");
    assert_eq!(line["reason"], "client_timeout", "{line}");
    // The first ten seconds of waiting are everybody's; the silence would have been 60.
    let took = line["duration_ms"].as_f64().unwrap() / 1000.0;
    assert!((9.0..30.0).contains(&took), "{line}");
    backend.wait_until_left(&backend.wait_for("/slow"));
    assert!(slow.join().unwrap() < LENGTH);
}

#[test]
fn a_header_of_too_many_bytes_or_fields_is_431() {
    let (backend, balancer) = limited("header_size = \"8KiB\"\nheader_count = 10");
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let long = |length: usize| with(&format!("X: {}\r\n", "x".repeat(length)));
    let many = |count: usize| with(&"X: y\r\n".repeat(count));
    assert_eq!(ask(balancer.address, long(8 * 1024 - 40)).status, 200);
    assert_eq!(ask(balancer.address, many(9)).status, 200);
    let before = backend.requests().len();
    for request in [long(8 * 1024), long(1024 * 1024), many(10), many(200)] {
        let mut client = Client::connect(balancer.address);
        client.try_send(&request);
        let answer = client.answer().expect("an answer");
        assert_refused(&answer, 431, "header_too_large");
        assert!(client.is_closed());
    }
    // One that never ends.
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    let mut sender = client.sender();
    let sending = thread::spawn(move || while sender.write_all(b"X: yyyyyyyyyy\r\n").is_ok() {});
    assert_refused(&client.answer().expect("an answer"), 431, "header_too_large");
    drop(client);
    sending.join().unwrap();
    assert_eq!(backend.requests().len(), before);
}

#[test]
fn a_body_of_too_many_bytes_is_413_before_or_while_it_is_sent() {
    let (backend, balancer) = limited("body_size = \"1KiB\"");
    let sized = |length: usize| {
        format!(
            "POST /sized HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    assert_eq!(ask(balancer.address, sized(1024)).status, 200);
    let before = backend.bytes();
    let mut client = Client::connect(balancer.address);
    client.try_send(sized(1025));
    assert_refused(&client.answer().expect("an answer"), 413, "body_too_large");
    assert!(client.is_closed());
    // One who asks first is told before it sends anything.
    let mut client = Client::connect(balancer.address);
    client.send(
        "POST /sized HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n",
    );
    assert_refused(&client.answer().expect("an answer"), 413, "body_too_large");
    assert_eq!(backend.bytes(), before, "neither has reached the backend");

    let mut client = Client::connect(balancer.address);
    client.send("POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    client.send(format!("{chunk}{chunk}"));
    let request = backend.wait(|log| {
        log.requests().find(|r| r.path() == "/chunked" && r.body_bytes == 1024).cloned()
    });
    client.try_send("1\r\nx\r\n0\r\n\r\n");
    assert_refused(&client.answer().expect("an answer"), 413, "body_too_large");
    backend.wait_until_left(&request);
    let request = backend.wait_for("/chunked");
    assert!(!request.complete && request.body_bytes <= 1024, "{request:#?}");
}

#[test]
fn a_route_has_a_body_size_of_its_own() {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[limits]\nbody_size = \"1KiB\"\n\
         [[route]]\nprefix = \"/large\"\npool = \"p\"\nbody_size = \"10KiB\"\n\
         [[route]]\nprefix = \"/small\"\npool = \"p\"\nbody_size = \"10B\"\n\
         [[route]]\npool = \"p\"\n\
         [[pool]]\nname = \"p\"\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    for (path, length, status) in [
        ("/large", 10 * 1024, 200),
        ("/large", 10 * 1024 + 1, 413),
        ("/small", 10, 200),
        ("/small", 11, 413),
        ("/other", 1024, 200),
        ("/other", 1025, 413),
    ] {
        let body = "x".repeat(length);
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n");
        let sized = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        assert_eq!(ask(balancer.address, sized).status, status, "{path} {length}");
        let chunked =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
        assert_eq!(ask(balancer.address, chunked).status, status, "{path} {length}");
    }
}

/// Opens a connection that is known to be counted.
fn open(address: SocketAddr, source: [u8; 4]) -> Client {
    let mut client = Client::connect_from(source, address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").status, 200);
    client
}

/// Waits until a connection from there finds a place.
#[track_caller]
fn wait_for_a_place(address: SocketAddr, source: [u8; 4]) {
    let begun = Instant::now();
    loop {
        let mut client = Client::connect_from(source, address);
        client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        match client.answer() {
            Some(answer) if answer.status == 200 => return,
            other => assert!(begun.elapsed() < SOON, "{other:?}"),
        }
    }
}

const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [127, 0, 0, 2];

#[track_caller]
fn assert_turned_away(address: SocketAddr, source: [u8; 4]) {
    let mut client = Client::connect_from(source, address);
    let answer = client.answer().expect("an answer, whatever is asked");
    assert_refused(&answer, 503, "too_many_connections");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(client.is_closed());
}

#[test]
fn there_are_so_many_connections_and_their_places_are_free_again() {
    let (_backend, balancer) = limited("connections = 3");
    let mut open: Vec<_> = (0..3).map(|_| open(balancer.address, HERE)).collect();
    assert_turned_away(balancer.address, HERE);
    assert_turned_away(balancer.address, THERE);
    open[0].send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(open[0].answer().unwrap().status, 200, "those that have a place keep it");
    open.pop();
    wait_for_a_place(balancer.address, THERE);
}

#[test]
fn no_address_takes_the_places_of_others() {
    let (_backend, balancer) = limited("connections_per_address = 2");
    let mut mine: Vec<_> = (0..2).map(|_| open(balancer.address, HERE)).collect();
    assert_turned_away(balancer.address, HERE);
    let _others: Vec<_> = (0..2).map(|_| open(balancer.address, THERE)).collect();
    assert_turned_away(balancer.address, THERE);
    mine.pop().unwrap().reset();
    wait_for_a_place(balancer.address, HERE);
}

#[test]
fn a_trusted_proxy_may_bring_more_connections_than_an_address() {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "trusted_proxies = [\"127.0.0.2/32\"]\n[limits]\nconnections_per_address = 1\n\
         [[pool]]\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    let _three = [(); 3].map(|()| open(balancer.address, THERE));
    let _one = open(balancer.address, HERE);
    assert_turned_away(balancer.address, HERE);
}

#[test]
fn a_connection_has_so_many_requests() {
    let (_backend, balancer) = limited("requests_per_connection = 3");
    let mut client = Client::connect(balancer.address);
    for number in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.answer().expect("an answer");
        assert_eq!(answer.status, 200);
        let expected = if number == 3 { "close" } else { "keep-alive" };
        assert_eq!(answer.header("connection"), Some(expected), "request {number}");
    }
    assert!(client.is_closed());
    assert_eq!(get(balancer.address, "/", &[]).status, 200);
}
