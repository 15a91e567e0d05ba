//! Binding, keep-alive, limits, and the end.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pingora_lab::backends::observation::{Headers, OBSERVED_REQUEST};
use pingora_lab::backends::{LabBackends, Site};

use super::Lab;
use super::exchange::{Connection, Request};

#[test]
fn every_taken_address_is_named() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let taken = [TcpListener::bind(any).unwrap(), TcpListener::bind(any).unwrap()];
    let [first, second] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    let wanted = [(Site::Httpbin, first), (Site::Example, any), (Site::JsonPlaceholder, second)];
    let error = LabBackends::bind(&wanted).unwrap_err();
    let named: Vec<_> =
        error.failures.iter().map(|failure| (failure.site, failure.address)).collect();
    assert_eq!(named, [(Site::Httpbin, first), (Site::JsonPlaceholder, second)]);
    for failure in &error.failures {
        assert_eq!(failure.source.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&failure.address.to_string()), "{error}");
    }
}

#[test]
fn a_client_that_connects_before_the_start_is_answered_after_it() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound = LabBackends::bind(&[(Site::Example, any)]).unwrap();
    let address = bound.addresses()[0].1;
    let mut early = Connection::open(address);
    let lab = bound.start().unwrap();
    assert_eq!(lab.addresses(), [(Site::Example, address)]);
    assert_eq!(early.exchange(&Request::get("/")).status, 200);
}

#[test]
fn one_connection_carries_many_requests() {
    let lab = Lab::start();
    let mut connection = Connection::open(lab.address(Site::Httpbin));
    let requests = [
        (Request::get("/stream/3"), 200),
        (Request::new("HEAD", "/get"), 200),
        (Request::get("/status/204"), 204),
        (Request::new("POST", "/post").body("text/plain", "unread by nobody"), 200),
        (Request::new("POST", "/get").body("text/plain", "never asked for"), 405),
        (Request::get("/drip?duration=0&numbytes=3"), 200),
        (Request::get("/status/304"), 304),
        (Request::get("/nothing"), 404),
    ];
    for (request, status) in requests.iter().cycle().take(3 * requests.len()) {
        let answer = connection.exchange(request);
        assert_eq!(answer.status, *status, "{request:?}");
        assert_eq!(answer.header("connection"), None, "{answer:?}");
    }
}

#[test]
fn http_1_0_gets_no_chunks_and_an_end() {
    let lab = Lab::start();
    let mut connection = Connection::open(lab.address(Site::Httpbin));
    connection.send(b"GET /stream/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = connection.receive(false);
    assert_eq!(answer.version, "HTTP/1.0");
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.text().lines().count(), 2);
}

#[test]
fn http_2_without_tls_is_spoken_too() {
    let lab = Lab::start();
    let address = lab.address(Site::Httpbin);
    // The client wants a provider even where there is no TLS; another test may
    // have set one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let request = client.get(format!("http://{address}/stream/1")).header("x-lab-observe", "1");
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        let observed = response.headers()[OBSERVED_REQUEST].to_str().unwrap();
        let observed = Headers::decode(observed).unwrap().0;
        assert!(observed.contains(&("host".to_owned(), address.to_string())), "{observed:?}");
        assert_eq!(response.headers().get("transfer-encoding"), None);
        assert!(response.text().await.unwrap().contains(&format!("http://{address}/stream/1")));
    });
}

#[test]
fn a_body_that_is_announced_too_large_is_refused_unsent() {
    let lab = Lab::start();
    for site in Site::ALL {
        let mut connection = Connection::open(lab.address(site));
        connection.send(
            b"POST /post HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 16777217\r\n\r\n",
        );
        let answer = connection.receive(false);
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.json()["error"], "body_too_large");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.header("x-lab-backend"), Some(site.name()));
    }
}

#[test]
fn a_body_that_turns_out_too_large_is_refused() {
    let lab = Lab::start();
    let mut connection = Connection::open(lab.address(Site::Httpbin));
    let mut writer = connection.writer();
    let sender = thread::spawn(move || {
        let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
        let head = b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        writer.write_all(head).unwrap();
        for _ in 0..256 {
            writer.write_all(&chunk).unwrap();
        }
        // One byte more than fits, and no end: whatever the server left unread
        // would reset the connection under its answer.
        writer.write_all(b"1\r\na").unwrap();
    });
    let answer = connection.receive(false);
    assert_eq!(answer.status, 413, "{answer:?}");
    sender.join().unwrap();
}

#[test]
fn a_body_of_the_largest_size_is_taken() {
    let lab = Lab::start();
    let largest = Request::new("PUT", "/put").body("text/plain", vec![b'a'; 16 * 1024 * 1024]);
    let answer = lab.fetch(Site::Httpbin, &largest);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["data"].as_str().unwrap().len(), 16 * 1024 * 1024);
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let lab = Lab::start();
    for line in ["CONNECT a:80", "OPTIONS *"] {
        let mut connection = Connection::open(lab.address(Site::Example));
        connection.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = connection.receive(false);
        assert_eq!((answer.status, answer.header("x-lab-backend")), (400, Some("example.com")));
    }
}

#[test]
fn the_end_waits_for_nobody() {
    let lab = Lab::start();
    let address = lab.address(Site::Httpbin);

    let mut idle = Connection::open(address);
    assert_eq!(idle.exchange(&Request::get("/get")).status, 200);

    let mut dripping = Connection::open(address);
    dripping.send(b"GET /drip?duration=60&numbytes=2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(dripping.receive_head().status, 200);
    assert_eq!(dripping.exactly(1), b"*");

    let mut delayed = Connection::open(address);
    delayed.send(
        b"POST /delay/10 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!(delayed.receive_head().status, 100);
    delayed.send(b"x");

    let start = Instant::now();
    lab.0.stop();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for mut connection in [idle, dripping, delayed] {
        assert!(connection.ends());
    }
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn it_can_be_dropped_inside_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let lab = Lab::start();
        let address = lab.address(Site::Example);
        drop(lab);
        assert!(TcpStream::connect(address).is_err());
    });
}
