//! HTTP/2 with backends.

use std::io::Read;

use crate::support::backend2::Backend2;
use crate::support::certificates::Authority;
use crate::support::http2::{self, Http2};
use crate::support::secure::{SecureFront, server};
use crate::support::{Balancer, Client, Upstream};

fn pool(address: std::net::SocketAddr, tls: &str) -> String {
    format!(
        "[[pool]]\nhttp2 = true\n{tls}\n[[pool.backend]]\nname = 'backend.test'\n\
         address = '{address}'\n"
    )
}

/// Asks as an HTTP/2 client, several at once, and as an HTTP/1.1 client.
fn ask_both(balancer: &Balancer) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = Http2::connect(balancer.address).await;
        for _ in 0..3 {
            let answer = client.get("/a?b=c").await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"one"[..]));
            assert_eq!(answer.trailers.get("grpc-status").unwrap(), "0");
        }
        let mut open = Vec::new();
        for _ in 0..20 {
            let request = http2::post("/up");
            let (response, mut body) = client.begin(request, false).await.unwrap();
            body.send_data("more".into(), true).unwrap();
            open.push(response);
        }
        for response in open {
            let answer = http2::read(response.await.unwrap()).await.unwrap();
            assert_eq!(answer.body, b"onemore");
        }
    });
    // Its answer ends as it must, though trailers have no place in it.
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        let answer = client.get("/", &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "one"));
    }
}

#[test]
fn backends_that_speak_nothing_else_are_spoken_to_from_the_first_byte() {
    let backend = Backend2::start(None);
    let balancer = Balancer::configured(&pool(backend.address, ""));
    ask_both(&balancer);
    let requests = backend.requests();
    assert_eq!(requests.len(), 25);
    let first = &requests[0];
    assert_eq!(first.uri().authority().unwrap(), "backend.test");
    assert_eq!(first.uri().path_and_query().unwrap(), "/a?b=c");
    assert!(!first.headers().contains_key("host"));
    assert!(backend.connections() < 23, "requests share connections: {}", backend.connections());
}

#[test]
fn http2_is_agreed_on_over_tls_and_http1_with_those_that_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let ca = authority.write(folder.path(), "ca");
    let tls = format!("tls = {{ ca = '{}' }}", ca.display());
    let issued = authority.issue(&["backend.test"]);

    let backend = Backend2::start(Some(server(&issued, None, &["h2"])));
    let balancer = Balancer::configured(&pool(backend.address, &tls));
    ask_both(&balancer);
    assert_eq!(backend.requests()[0].uri().scheme_str(), Some("https"));

    for protocols in [&["http/1.1"][..], &[]] {
        let upstream = Upstream::named("one");
        let front = SecureFront::over(&upstream, server(&issued, None, protocols));
        let balancer = Balancer::configured(&pool(front.address, &tls));
        let mut client = Client::connect(balancer.address);
        for _ in 0..3 {
            assert_eq!(client.get("/", &[]).text(), "one");
        }
        assert!(upstream.received()[0].line.ends_with("HTTP/1.1"));
    }
}

#[test]
fn a_request_for_another_protocol_goes_over_http1() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let ca = authority.write(folder.path(), "ca");
    let tls = format!("tls = {{ ca = '{}' }}", ca.display());
    let upstream = Upstream::scripted(|_, stream| {
        use std::io::{Read, Write};
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
        let mut bytes = [0; 4];
        Upstream::before_a_101();
        stream.write_all(head.as_bytes()).is_ok()
            && stream.read_exact(&mut bytes).is_ok()
            && stream.write_all(&bytes).is_err()
    });
    let issued = authority.issue(&["backend.test"]);
    // It would agree to HTTP/2, if it were asked.
    let front = SecureFront::over(&upstream, server(&issued, None, &["h2", "http/1.1"]));
    let balancer = Balancer::configured(&pool(front.address, &tls));
    let mut client = Client::connect(balancer.address);
    client.send(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut bytes = Vec::new();
    let mut piece = [0; 512];
    while !bytes.ends_with(b"\r\n\r\n") {
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
    assert!(bytes.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&bytes));
    client.send("ping");
    let count = client.read(&mut piece).unwrap();
    assert_eq!(&piece[..count], b"ping");
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let backend = Backend2::start(None);
    let balancer = Balancer::configured(&pool(backend.address, ""));
    for fields in ["", "Host: x\r\n", "Host: x\r\nConnection: keep-alive\r\n"] {
        let mut client = Client::connect(balancer.address);
        client.send(format!("GET / HTTP/1.0\r\n{fields}\r\n"));
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "one"), "{answer:?}");
        assert_eq!(answer.count("transfer-encoding"), 0, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "nothing else ends the answer");
        assert!(client.is_closed());
    }
    // An answer without a body ends by itself.
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.header().expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.count("transfer-encoding"), 0, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_compressed_answer_is_whole_without_its_trailers_and_one_that_announces_them_keeps_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for announced in [false, true] {
        let backend = match announced {
            false => Backend2::start(None),
            true => Backend2::announcing("grpc-status"),
        };
        let balancer = Balancer::configured(&format!(
            "{}[[route]]\npool = 'default'\ncompress = {{ min_size = '1B' }}\n",
            pool(backend.address, "")
        ));
        let answer = runtime.block_on(async {
            let mut client = Http2::connect(balancer.address).await;
            let mut request = http2::get("/");
            request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
            client.ask(request).await.unwrap()
        });
        let coding = answer.headers.get("content-encoding").map(|coding| coding.as_bytes());
        let status = answer.trailers.get("grpc-status").map(|status| status.as_bytes());
        if announced {
            assert_eq!((coding, status), (None, Some(&b"0"[..])));
            assert_eq!(answer.body, b"one");
        } else {
            assert_eq!((coding, status), (Some(&b"gzip"[..]), None));
            let mut text = String::new();
            flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
            assert_eq!(text, "one");
        }
    }
}
