//! What HTTP means beyond one request and one answer: interim answers, changes of
//! protocol, streams, and what may pass a proxy and what may not.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use pingora_lab::backends::recording::{Act, Afterwards, Reply};

use crate::support::http2::{Http2, get as get2};
use crate::support::{Balancer, Client, Recording, Upstream, ask, get};

/// Time in which a machine that is busy with other things still does what is due.
const SOON: Duration = Duration::from_secs(5);

fn lab(settings: &str) -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = over(settings, backend.address());
    (backend, balancer)
}

fn over(settings: &str, backend: std::net::SocketAddr) -> Balancer {
    Balancer::configured(&format!(
        "{settings}\n[[pool]]\n[[pool.backend]]\naddress = \"{backend}\"\n"
    ))
}

#[test]
fn fields_that_a_backend_could_take_for_the_proxys_own_are_dropped() {
    let (backend, balancer) = lab("");
    let dropped = [
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "X_Forwarded_For: 203.0.113.9",
        "X-Forwarded_For: 203.0.113.9",
        "x_forwarded_proto: https",
        "X_Real_Ip: 203.0.113.9",
        "X_Request_Id: theirs",
        "X_Proxy_Added: theirs",
        "X-Proxy-Anything: theirs",
        "x-proxy-secret: theirs",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Server: theirs",
        "Host: www.test",
        "Proxy: http://203.0.113.9",
        "Keep_Alive: 5",
    ];
    let kept =
        ["X_Mine: 1", "X-Proxied: 1", "My_Content_Length: 1", "Authoriza_tion: x", "Host_: x"];
    let fields: Vec<_> = dropped.iter().chain(&kept).copied().collect();
    assert_eq!(get(balancer.address, "/", &fields).status, 200);
    let request = &backend.requests()[0];
    let expected = [
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-by",
        "traceparent",
        "x-proxy-added",
        "x-request-id",
    ];
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        let line = format!("{name}: {value}");
        assert!(
            expected.contains(&name.as_str())
                || kept.iter().any(|kept| kept.eq_ignore_ascii_case(&line)),
            "{line}"
        );
        assert!(!value.contains("203.0.113.9") && value != "theirs", "{line}");
    }
    for kept in kept {
        let (name, value) = kept.split_once(": ").unwrap();
        assert_eq!(request.values(name), [value], "{kept}");
    }
    assert_eq!(request.values("x-proxy-added"), ["pingora-demo"]);
}

#[test]
fn fields_that_a_backend_could_take_for_those_of_the_rules_are_dropped() {
    let (backend, balancer) =
        lab("[headers.request]\nremove = [\"x-secret-key\"]\nset = { x-user = \"nobody\" }");
    let fields = ["X_User: root", "X-Secret_Key: 1", "X_Secret-Key: 1", "X_Users: 1"];
    assert_eq!(get(balancer.address, "/", &fields).status, 200);
    let request = &backend.requests()[0];
    assert_eq!(request.values("x-user"), ["nobody"]);
    assert_eq!(request.values("x_users"), ["1"]);
    for gone in ["x_user", "x-secret_key", "x_secret-key"] {
        assert!(request.values(gone).is_empty(), "{gone}");
    }
}

#[test]
fn what_concerns_the_clients_connection_is_not_passed_on() {
    let (backend, balancer) = lab("");
    let fields = [
        "Connection: keep-alive, X-Own, Te",
        "X-Own: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers, deflate",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "X-Kept: 1",
    ];
    assert_eq!(get(balancer.address, "/", &fields).status, 200);
    let request = &backend.requests()[0];
    assert_eq!(request.values("x-kept"), ["1"]);
    for gone in ["x-own", "keep-alive", "proxy-connection", "upgrade", "connection"] {
        assert!(request.values(gone).is_empty(), "{gone}: {request:#?}");
    }
    assert!(!request.values("te").iter().any(|te| te.contains("deflate")), "{request:#?}");
}

#[test]
fn a_request_of_http_1_0_goes_on_with_a_host() {
    let (backend, balancer) = lab("");
    let answer = ask(balancer.address, "GET /old HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "recorded"));
    assert_eq!(answer.header("connection"), Some("close"));
    let request = backend.wait_for("/old");
    assert_eq!(request.minor_version, 1);
    assert_eq!(request.values("host"), [backend.address().to_string()]);
    // It says for how long it stays, as HTTP/1.0 does.
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        client.send("GET /kept HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer().expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    assert_eq!(backend.wait_for("/kept").values("host"), ["x"]);
}

#[test]
fn leave_to_send_comes_from_the_backend_and_its_refusal_too() {
    let (backend, balancer) = lab("[limits]\nbody_timeout = \"1s\"");
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = Client::connect(balancer.address);
    client.send(head("/wanted"));
    assert_eq!(client.answer().expect("leave to send").status, 100);
    client.send("hello");
    assert_eq!(client.answer().expect("an answer").status, 200);
    assert_eq!(&backend.wait_for("/wanted").body[..], b"hello");
    // The connection goes on.
    client.send(head("/again"));
    assert_eq!(client.answer().expect("leave to send").status, 100);
    client.send("hello");
    assert_eq!(client.answer().expect("an answer").status, 200);

    backend.set_early(Some(Arc::new(|_| Some(Act::Answer(Reply::new(417))))));
    let mut client = Client::connect(balancer.address);
    client.send(head("/unwanted"));
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (417, Some("close")));
    assert!(client.is_closed(), "whether the body follows cannot be known");
    assert!(!backend.wait_for("/unwanted").complete);
}

#[test]
fn early_hints_reach_clients_that_know_them() {
    let (backend, balancer) = lab("");
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    backend.always(Act::Raw(answer.into(), Afterwards::Keep));
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let hints = client.answer().expect("hints");
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a>; rel=preload")));
    assert_eq!(client.answer().expect("the answer").text(), "ok");
    assert_eq!(ask(balancer.address, "GET / HTTP/1.0\r\nHost: x\r\n\r\n").text(), "ok");
}

#[test]
fn a_slow_answer_flows_however_its_end_is_told() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked", "Connection: close"] {
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let upstream = Upstream::scripted(move |_, stream| {
            let gate = gate.lock().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("the proxy reads");
            for letter in 'a'..='j' {
                // Only once the client has what came before.
                gate.recv().expect("the test goes on");
                let piece = match framing.contains("chunked") {
                    true => format!("1\r\n{letter}\r\n"),
                    false => letter.to_string(),
                };
                stream.write_all(piece.as_bytes()).expect("the proxy reads");
            }
            if framing.contains("chunked") {
                stream.write_all(b"0\r\n\r\n").expect("the proxy reads");
            }
            framing.contains("Length")
        });
        let balancer = over("", upstream.address);
        let mut client = Client::connect(balancer.address);
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.header().expect("a header before the body").status, 200);
        let mut body = String::new();
        for letter in 'a'..='j' {
            go.send(()).unwrap();
            while !body.contains(letter) {
                let mut piece = [0; 100];
                let count = client.read(&mut piece).expect("a piece");
                assert!(count > 0, "{framing}: {body:?}");
                body.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
        }
    }
}

#[test]
fn trailers_of_a_request_or_an_answer_in_chunks_end_here() {
    let (backend, balancer) = lab("");
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\nDigest: x\r\n\r\n";
    backend.always(Act::Raw(answer.into(), Afterwards::Keep));
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nDigest: x\r\n\r\n",
        );
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.trailers, []);
    }
    for request in backend.requests() {
        assert!(request.complete && &request.body[..] == b"hello", "{request:#?}");
        assert_eq!(request.trailers, []);
    }
    assert_eq!(backend.requests().len(), 2);
}

/// A backend that changes to a protocol of echoes.
fn echo() -> Upstream {
    Upstream::scripted(|received, stream| {
        if received.values("upgrade") != ["websocket"] {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").is_ok();
        }
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello";
        Upstream::before_a_101();
        stream.write_all(head.as_bytes()).expect("the proxy reads");
        let mut bytes = [0; 1024];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return false,
                Ok(count) if bytes.starts_with(b"bye") => {
                    let _ = stream.write_all(&bytes[..count]);
                    return false;
                }
                Ok(count) => stream.write_all(&bytes[..count]).expect("the proxy reads"),
            }
        }
    })
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Request-Id: ws\r\n\r\n";

/// Sends bytes and waits for them to come back.
fn exchange(client: &mut Client, text: &str) {
    client.send(text);
    expect(client, text);
}

fn expect(client: &mut Client, text: &str) {
    let mut got = vec![0; text.len()];
    let mut at = 0;
    while at < got.len() {
        let count = client.read(&mut got[at..]).expect("an echo");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&got[..at]));
        at += count;
    }
    assert_eq!(String::from_utf8(got).unwrap(), text);
}

#[test]
fn a_changed_protocol_passes_both_ways_for_longer_than_any_limit_on_http() {
    let upstream = echo();
    let balancer = over(
        "[timeouts]\nread = \"500ms\"\ntotal = \"500ms\"\nupgraded = \"1h\"\n\
         [limits]\nidle_timeout = \"500ms\"\nheader_timeout = \"500ms\"\n\
         body_timeout = \"500ms\"\nwrite_timeout = \"500ms\"\nbody_size = \"100B\"",
        upstream.address,
    );
    let mut client = Client::connect(balancer.address);
    client.send(UPGRADE);
    let answer = client.header().expect("an answer");
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
    expect(&mut client, "hello");
    for number in 0..4 {
        // Silence past each of the limits above is what is tested.
        std::thread::sleep(Duration::from_millis(550));
        exchange(&mut client, &format!("GET / HTTP/1.1\r\n{number}\n{}", "x".repeat(100)));
    }
    exchange(&mut client, "bye");
    assert!(client.is_closed(), "the backend has closed");
    assert_eq!(balancer.access("ws")["status"], 101);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_changed_protocol_ends_when_it_falls_silent_or_the_client_goes() {
    let upstream = echo();
    let balancer = over("[timeouts]\nupgraded = \"500ms\"", upstream.address);
    let mut client = Client::connect(balancer.address);
    client.send(UPGRADE);
    assert_eq!(client.header().expect("an answer").status, 101);
    expect(&mut client, "hello");
    let begun = Instant::now();
    assert!(client.is_closed());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400) && took < SOON, "{took:?}");
    let line = balancer.access("ws");
    assert_eq!((line["status"].as_u64(), line["attempts"].as_u64()), (Some(101), Some(1)));

    let balancer = over("", upstream.address);
    let mut client = Client::connect(balancer.address);
    client.send(UPGRADE);
    assert_eq!(client.header().expect("an answer").status, 101);
    drop(client);
    // The line is written when both sides are done with it.
    balancer.access("ws");
}

#[test]
fn a_change_of_protocol_that_is_refused_is_an_answer_like_others() {
    let upstream = Upstream::named("plain");
    let balancer = over("", upstream.address);
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        client.send(UPGRADE);
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "plain"));
    }
}

#[test]
fn a_change_of_protocol_that_http_2_did_not_ask_for_is_502() {
    let upstream = Upstream::scripted(|_, stream| {
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let balancer = over("", upstream.address);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = Http2::connect(balancer.address).await;
        assert_eq!(client.ask(get2("/")).await.unwrap().status, 502);
    });
}
