//! What the proxy adds, removes and leaves alone.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Balancer, Upstream, ask, get};

fn one(flags: &[&str]) -> (Upstream, Balancer) {
    let upstream = Upstream::named("a.test");
    let balancer = Balancer::over(&[format!("a.test={}", upstream.address)], flags);
    (upstream, balancer)
}

fn configured(upstream: &Upstream, rest: &str) -> Balancer {
    Balancer::configured(&format!(
        "{rest}\n[[pool]]\n[[pool.backend]]\nname = \"a.test\"\naddress = \"{}\"\n",
        upstream.address
    ))
}

#[test]
fn the_backend_receives_what_the_defaults_say() {
    let (upstream, balancer) = one(&[]);
    get(balancer.address, "/", &["Host: www.test:81", "X-Mine: 1", "X-Mine: 2"]);
    let received = &upstream.received()[0];
    for (name, expected) in [
        ("x-proxy-added", &["pingora-demo"][..]),
        ("x-forwarded-by", &["rust-pingora"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &["www.test:81"]),
        ("host", &["a.test"]),
        ("x-mine", &["1", "2"]),
    ] {
        assert_eq!(received.values(name), expected, "{name}");
    }
    let id = received.values("x-request-id");
    assert!(id.len() == 1 && id[0].len() == 36, "{id:?}");
}

#[test]
fn the_client_receives_what_the_defaults_say() {
    let (upstream, balancer) = one(&[]);
    let answer = get(balancer.address, "/", &[]);
    assert_eq!(answer.header("x-proxy"), Some("pingora-demo"));
    assert_eq!(answer.header("x-load-balancer"), Some("rust-implementation"));
    assert_eq!(answer.header("x-served-by"), Some("a.test"));
    assert_eq!(answer.header("server"), None, "the backend sent one: {answer:?}");
    // Nothing of one direction leaks into the other.
    assert_eq!(answer.count("x-proxy-added") + answer.count("x-forwarded-by"), 0);
    let received = &upstream.received()[0];
    assert!(received.values("x-proxy").is_empty() && received.values("x-served-by").is_empty());
}

#[test]
fn an_answers_own_fields_and_body_are_left_alone() {
    let upstream = Upstream::scripted(|_, stream| {
        let answer = "HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                      X-Proxy: theirs\r\nServer: theirs\r\nContent-Length: 5\r\n\r\n\x00\u{1}tea";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    let answer = get(balancer.address, "/", &[]);
    assert_eq!((answer.status, answer.body.as_slice()), (418, &b"\x00\x01tea"[..]));
    assert_eq!(answer.count("set-cookie"), 2);
    assert_eq!(answer.count("x-proxy"), 1);
    assert_eq!(answer.header("x-proxy"), Some("pingora-demo"));
}

#[test]
fn names_are_in_lower_case_and_a_reason_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, head) = std::sync::mpsc::channel();
    let backend = std::thread::spawn(move || {
        // The checks connect too, and say nothing.
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            drop(lines);
            if !head.is_empty() {
                let answer = "HTTP/1.1 299 Quite Fine\r\nX-Some-NAME: Value\r\n\
                              CONTENT-LENGTH: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
                return heads.send(head).unwrap();
            }
        }
    });
    let balancer = Balancer::over(&[address.to_string()], &[]);
    let mut client = TcpStream::connect(balancer.address).unwrap();
    client
        .write_all(b"GET /A?B HTTP/1.1\r\nhOST: X\r\nX-Some-NAME: Value\r\nACCEPT: */*\r\n\r\n")
        .unwrap();
    let head = head.recv_timeout(Duration::from_secs(30)).unwrap();
    backend.join().unwrap();
    let all_of = |head: &[String], lines: &[&str]| {
        for line in lines {
            assert!(head.iter().any(|other| other == line), "{line} is not in {head:#?}");
        }
    };
    all_of(&head, &["GET /A?B HTTP/1.1", "Host: X", "x-some-name: Value", "accept: */*"]);
    let lines = BufReader::new(client).lines().map(Result::unwrap);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    all_of(&head, &["HTTP/1.1 299 Quite Fine", "x-some-name: Value", "Content-Length: 0"]);
}

#[test]
fn what_an_unknown_client_says_of_itself_is_replaced() {
    let (upstream, balancer) = one(&[]);
    let claims = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "Host: www.test",
    ];
    get(balancer.address, "/", &claims);
    let received = &upstream.received()[0];
    assert_eq!(received.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.values("x-forwarded-proto"), ["http"]);
    assert_eq!(received.values("x-forwarded-host"), ["www.test"]);
    assert!(received.values("forwarded").is_empty() && received.values("x-real-ip").is_empty());
}

#[test]
fn what_a_trusted_proxy_says_is_believed_and_extended() {
    let upstream = Upstream::named("a.test");
    let balancer = configured(&upstream, "trusted_proxies = [\"127.0.0.0/8\"]");
    let claims = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 198.51.100.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.test",
        "Forwarded: for=203.0.113.9",
        "Host: www.test",
    ];
    get(balancer.address, "/", &claims);
    let received = &upstream.received()[0];
    assert_eq!(received.values("x-forwarded-for"), ["203.0.113.9, 198.51.100.1, 127.0.0.1"]);
    assert_eq!(received.values("x-forwarded-proto"), ["https"]);
    assert_eq!(received.values("x-forwarded-host"), ["shop.test"]);
    assert_eq!(received.values("forwarded"), ["for=203.0.113.9"]);
}

#[test]
fn a_valid_request_id_is_kept_and_any_other_replaced() {
    let (upstream, balancer) = one(&[]);
    get(balancer.address, "/", &["X-Request-Id: trace-1"]);
    get(balancer.address, "/", &["X-Request-Id: not valid"]);
    get(balancer.address, "/", &["X-Request-Id: one", "X-Request-Id: two"]);
    let received = upstream.received();
    assert_eq!(received[0].values("x-request-id"), ["trace-1"]);
    for replaced in &received[1..] {
        let ids = replaced.values("x-request-id");
        assert!(ids.len() == 1 && ids[0].len() == 36, "{ids:?}");
    }
}

#[test]
fn the_configuration_changes_the_rules() {
    let upstream = Upstream::named("a.test");
    let balancer = configured(
        &upstream,
        r#"
        [headers.request]
        remove = ["x-proxy-added", "cookie"]
        set = { x-forwarded-by = "me for $client_ip", x-cost = "$$5" }
        [headers.response]
        defaults = false
        set = { x-answered-by = "$backend/$request_id" }
        "#,
    );
    let answer = get(balancer.address, "/", &["Cookie: a=1", "X-Request-Id: id-7"]);
    let received = &upstream.received()[0];
    assert!(received.values("x-proxy-added").is_empty() && received.values("cookie").is_empty());
    assert_eq!(received.values("x-forwarded-by"), ["me for 127.0.0.1"]);
    assert_eq!(received.values("x-cost"), ["$5"]);
    assert_eq!(received.values("x-request-id"), ["id-7"], "the other defaults stay");
    assert_eq!(answer.header("x-answered-by"), Some("a.test/id-7"));
    assert_eq!(answer.header("x-proxy"), None);
    assert_eq!(answer.header("server"), Some("a.test-server"));
}

#[test]
fn a_client_cannot_claim_what_no_rule_sets() {
    let upstream = Upstream::named("a.test");
    let balancer = configured(&upstream, "[headers.request]\ndefaults = false\n");
    get(balancer.address, "/", &["X-Forwarded-For: 203.0.113.9"]);
    assert!(upstream.received()[0].values("x-forwarded-for").is_empty());
}

#[test]
fn bodies_pass_byte_for_byte() {
    let upstream = Upstream::scripted(|received, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", received.body.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&received.body).is_ok()
    });
    let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    let body: Vec<u8> = (0..1024 * 1024u32).map(|n| (n * 31 % 251) as u8).collect();
    let mut request =
        format!("POST /up?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(&body);
    let answer = ask(balancer.address, request);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    let chunked = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    assert_eq!(ask(balancer.address, chunked).text(), "abcdefg");
    assert_eq!(upstream.received()[0].line, "POST /up?x=1 HTTP/1.1");
}

#[test]
fn a_client_of_http_1_0_is_sent_no_chunks_and_no_1xx() {
    let upstream = Upstream::scripted(|_, stream| {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                      HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    for fields in ["", "Connection: keep-alive\r\n"] {
        let answer = ask(balancer.address, format!("GET / HTTP/1.0\r\n{fields}\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "abcdefg"));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("connection"), Some("close"));
    }
}
