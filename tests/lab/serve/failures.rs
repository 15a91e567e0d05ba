//! Backends that refuse, break off, hang or talk nonsense.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::health::full_queue;
use crate::support::{Answer, Balancer, Client, Upstream, ask, get};

/// No health check will notice anything during a test.
const NEVER: &str = "[[pool]]\nhealth_check = { interval = \"1h\", unhealthy_interval = \"1h\" }\n";

fn balancer(limits: &str, backends: &[SocketAddr]) -> Balancer {
    let mut text = format!("{limits}\n{NEVER}");
    for (number, address) in backends.iter().enumerate() {
        text += &format!("[[pool.backend]]\nname = \"b{number}\"\naddress = \"{address}\"\n");
    }
    Balancer::configured(&text)
}

fn post(address: SocketAddr, body: &str) -> Answer {
    ask(
        address,
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    )
}

#[track_caller]
fn assert_failed(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["error"]["reason"], reason);
    assert_eq!(answer.json()["error"]["status"], status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-proxy"), Some("pingora-demo"));
    assert_eq!(answer.header("x-load-balancer"), Some("rust-implementation"));
    assert_eq!(answer.header("server"), None);
}

/// Reads the request and resets the connection without an answer.
fn breaking() -> Upstream {
    Upstream::scripted(|_, _| false)
}

#[test]
fn a_refused_request_goes_to_the_next_backend_whatever_its_method() {
    let mut dying = Upstream::named("dying");
    let alive = ["b1", "b2"].map(Upstream::named);
    let balancer = balancer("", &[dying.address, alive[0].address, alive[1].address]);
    dying.stop();
    for number in 0..20 {
        let answer = match number % 2 {
            0 => get(balancer.address, "/", &[]),
            _ => post(balancer.address, "a body that must arrive"),
        };
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let received: Vec<_> = alive.iter().flat_map(Upstream::received).collect();
    assert_eq!(received.len(), 20, "each request arrives once");
    let posts: Vec<_> = received.iter().filter(|r| r.line.starts_with("POST")).collect();
    assert_eq!(posts.len(), 10);
    assert!(posts.iter().all(|post| post.body == b"a body that must arrive"));
}

#[test]
fn each_backend_is_tried_once_and_then_it_is_502() {
    let mut upstreams = ["b0", "b1", "b2"].map(Upstream::named);
    let addresses = upstreams.each_ref().map(|upstream| upstream.address);
    let balancer = balancer("", &addresses);
    upstreams.iter_mut().for_each(Upstream::stop);
    let answer = get(balancer.address, "/", &["X-Request-Id: all-refuse"]);
    // The first failure has the backends checked, which may be over before the
    // last try: then fewer are tried, and the failure is the same.
    assert_failed(&answer, 502, "connect_failed");
    let line = balancer.access("all-refuse");
    assert!((1..=3).contains(&line["attempts"].as_u64().unwrap()), "{line}");
    assert_eq!(
        (line["status"].as_u64(), line["reason"].as_str()),
        (Some(502), Some("connect_failed"))
    );
}

#[test]
fn a_post_that_reached_a_backend_is_never_sent_again() {
    let backends = [breaking(), breaking(), breaking()];
    let balancer = balancer("", &backends.each_ref().map(|backend| backend.address));
    for number in 0..6 {
        assert_failed(
            &post(balancer.address, &format!("order {number}")),
            502,
            "connection_broken",
        );
    }
    let mut orders: Vec<_> = backends
        .iter()
        .flat_map(Upstream::received)
        .map(|received| String::from_utf8(received.body).unwrap())
        .collect();
    orders.sort();
    assert_eq!(orders, (0..6).map(|n| format!("order {n}")).collect::<Vec<_>>());
}

#[test]
fn an_idempotent_request_is_sent_again_but_not_for_ever() {
    let broken = [breaking(), breaking()];
    let alive = Upstream::named("alive");
    let all = balancer("", &[broken[0].address, broken[1].address, alive.address]);
    for number in 0..9 {
        let answer = match number % 3 {
            0 => ask(all.address, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"),
            _ => get(all.address, "/", &[]),
        };
        assert_eq!((answer.status, answer.text().as_str()), (200, "alive"));
    }
    let puts = alive.received().into_iter().filter(|r| r.line.starts_with("PUT"));
    assert!(puts.map(|put| put.body).eq([b"body"; 3]), "the body is replayed whole");

    let before: usize = broken.iter().map(|b| b.received().len()).sum();
    let only_broken = balancer("", &broken.each_ref().map(|b| b.address));
    assert_failed(&get(only_broken.address, "/", &[]), 502, "connection_broken");
    let after: usize = broken.iter().map(|b| b.received().len()).sum();
    assert_eq!(after - before, 2, "each backend once");
}

#[test]
fn a_body_too_long_to_keep_is_not_sent_again() {
    let broken = [breaking(), breaking()];
    let balancer = balancer("", &broken.each_ref().map(|b| b.address));
    let body = "x".repeat(1024 * 1024);
    let answer = ask(
        balancer.address,
        format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    );
    assert_failed(&answer, 502, "connection_broken");
    assert_eq!(broken.iter().map(|b| b.received().len()).sum::<usize>(), 1);
}

#[test]
fn a_client_error_is_an_answer_and_not_a_failure() {
    let upstreams = [0, 1].map(|_| {
        Upstream::scripted(|_, stream| {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nmine";
            stream.write_all(answer).is_ok()
        })
    });
    let balancer = balancer("", &upstreams.each_ref().map(|upstream| upstream.address));
    let answer = get(balancer.address, "/", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (503, "mine"));
    assert_eq!(upstreams.iter().map(|u| u.received().len()).sum::<usize>(), 1);
}

/// Answers the first request of every connection, promises to keep it, and closes
/// it on the next request without a word.
fn forgetful(name: &'static str) -> Upstream {
    let answered = std::sync::Mutex::new(std::collections::HashSet::new());
    Upstream::scripted(move |_, stream| {
        let first = answered.lock().unwrap().insert(stream.peer_addr().unwrap());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        first && stream.write_all(answer.as_bytes()).is_ok()
    })
}

#[test]
fn a_kept_connection_that_has_gone_stale_costs_neither_an_error_nor_a_turn() {
    let (stale, fine) = (forgetful("stale"), Upstream::named("fine"));
    let balancer = balancer("", &[stale.address, fine.address]);
    for number in 0..8 {
        let answer = get(balancer.address, "/", &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text(), ["stale", "fine"][number % 2], "request {number}");
    }
}

#[test]
fn many_stale_connections_are_not_tried_one_by_one() {
    // Answers the first eight requests only when all are there, so that each has
    // a connection of its own; then, each connection is as forgetful as above.
    let together = std::sync::Barrier::new(8);
    let arrived = std::sync::atomic::AtomicUsize::new(0);
    let answered = std::sync::Mutex::new(std::collections::HashSet::new());
    let stale = Upstream::scripted(move |_, stream| {
        if arrived.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 8 {
            together.wait();
        }
        let first = answered.lock().unwrap().insert(stream.peer_addr().unwrap());
        first && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    });
    let balancer = balancer("", &[stale.address]);
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(balancer.address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: {number}\r\n\r\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().expect("an answer").status, 200);
        // By the time of its line in the log, a request's connection is kept.
        balancer.access(&number.to_string());
    }
    let before = stale.received().len();
    assert_eq!(get(balancer.address, "/", &[]).status, 200);
    assert_eq!(stale.received().len() - before, 2, "once over a kept connection, once anew");
    // What may have had an effect is not sent again, kept connection or not.
    assert_failed(&post(balancer.address, "order"), 502, "connection_broken");
}

#[test]
fn a_backend_that_never_answers_is_504_in_time_and_holds_up_nobody() {
    let hung = Upstream::scripted(|_, stream| {
        // Holds the connection until the proxy closes it.
        let _ = std::io::copy(stream, &mut std::io::sink());
        false
    });
    let alive = Upstream::named("alive");
    let balancer = balancer("[timeouts]\nread = \"1s\"", &[hung.address, alive.address]);
    let begun = Instant::now();
    let mut waiting = Client::connect(balancer.address);
    waiting.send("GET / HTTP/1.1\r\nHost: b0\r\nX-Request-Id: hung\r\n\r\n");
    assert_eq!(get(balancer.address, "/", &["Host: b1"]).text(), "alive");
    let answer = waiting.answer().expect("an answer");
    assert_failed(&answer, 504, "read_timeout");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(hung.received().len(), 1, "not sent again");
    assert_eq!(balancer.access("hung")["backend"], "b0");
}

#[test]
fn a_backend_that_drops_packets_is_504_in_time() {
    // Healthy at the first check, since only then is the queue filled.
    let mut upstream = Upstream::named("b0");
    let balancer = balancer("[timeouts]\nconnect = \"200ms\"", &[upstream.address]);
    upstream.stop();
    let _held = full_queue(upstream.address);
    let begun = Instant::now();
    assert_failed(&get(balancer.address, "/", &[]), 504, "connect_timeout");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn all_tries_together_have_a_limit_too() {
    let hung = Upstream::scripted(|_, stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
        false
    });
    let balancer = balancer("[timeouts]\nread = \"1h\"\ntotal = \"300ms\"", &[hung.address]);
    let begun = Instant::now();
    let answer = get(balancer.address, "/", &[]);
    assert_failed(&answer, 504, "total_timeout");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_answer_that_is_no_http_is_502() {
    let nonsense = Upstream::scripted(|_, stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        false
    });
    let balancer = balancer("", &[nonsense.address]);
    assert_failed(&post(balancer.address, "x"), 502, "invalid_answer");
}

#[test]
fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let upstream = Upstream::scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        false
    });
    let balancer = balancer("", &[upstream.address]);
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: cut\r\n\r\n");
    let mut got = Vec::new();
    // Whether any of it is passed on is the proxy's affair; the end must show.
    let _ = client.read_to_end(&mut got);
    let text = String::from_utf8_lossy(&got);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let whole = text.starts_with("HTTP/1.1 200") && body.len() == 100;
    assert!(!whole, "{text}");
    assert_eq!(balancer.access("cut")["reason"], "connection_broken");
    assert_eq!(upstream.received().len(), 1, "an answer that has begun is not asked for again");
}

#[test]
fn accept_chooses_the_form_and_head_has_no_body() {
    let balancer = balancer("", &[Upstream::dead()]);
    let text = get(balancer.address, "/", &["Accept: text/html, */*;q=0.1"]);
    assert_eq!(text.status, 503);
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.text().contains("reason: no_healthy_backend"), "{}", text.text());
    let mut client = Client::connect(balancer.address);
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut head = Vec::new();
    client.read_to_end(&mut head).expect("the connection is closed after an own answer");
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.ends_with("\r\n\r\n"), "{head}");
    // A client that believed in the connection would lose its next request.
    assert!(head.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{head}");
}

#[test]
fn a_large_upload_that_nobody_takes_still_gets_its_answer() {
    let balancer = balancer("", &[Upstream::dead()]);
    let body = "x".repeat(4 * 1024 * 1024);
    let answer = ask(
        balancer.address,
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    );
    assert_failed(&answer, 503, "no_healthy_backend");
}

#[test]
fn a_request_without_a_valid_host_or_target_is_400_and_reaches_no_backend() {
    let upstream = Upstream::named("a");
    let balancer = balancer("", &[upstream.address]);
    for head in ["", "Host: a b\r\n", "Host: user@a\r\n", "Host: a\r\nHost: b\r\n", "Host:\r\n"] {
        let answer = ask(balancer.address, format!("GET / HTTP/1.1\r\n{head}\r\n"));
        assert_eq!(answer.status, 400, "{head:?}");
    }
    for target in ["shop", "*", "*/", "?a"] {
        let answer = ask(balancer.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, 400, "{target:?}");
    }
    assert!(upstream.received().is_empty());
    let connect = ask(balancer.address, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert_failed(&connect, 405, "method_not_allowed");
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let upstream = Upstream::named("a");
    let balancer = balancer("", &[upstream.address]);
    for _ in 0..20 {
        let mut client = Client::connect(balancer.address);
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome");
        drop(client);
    }
    assert_eq!(get(balancer.address, "/", &[]).status, 200);
}

#[test]
fn a_client_that_stops_sending_its_body_is_408_and_no_backends_fault() {
    // It waits for the whole body before it answers.
    let upstream = Upstream::named("a");
    let balancer = balancer("[timeouts]\nread = \"200ms\"", &[upstream.address]);
    let mut client = Client::connect(balancer.address);
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: stalled\r\nContent-Length: 4\r\n\r\nbo");
    assert_failed(&client.answer().expect("an answer"), 408, "client_timeout");
    let line = balancer.access("stalled");
    assert_eq!(
        (line["status"].as_u64(), line["reason"].as_str()),
        (Some(408), Some("client_timeout"))
    );
    // The client is listened to for 2 s more, which is no part of the answer.
    assert!(line["duration_ms"].as_f64().unwrap() < 2000.0, "{line}");

    // A client that waits for leave to send has stopped nothing.
    let mut client = Client::connect(balancer.address);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_failed(&client.answer().expect("an answer"), 504, "read_timeout");
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_502() {
    let upstream = Upstream::scripted(|_, stream| {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\
                      HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let balancer = balancer("", &[upstream.address]);
    assert_failed(&get(balancer.address, "/", &[]), 502, "invalid_answer");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn lengths_of_an_answer_become_one_or_it_is_refused() {
    use std::io::Write;
    for (fields, status) in [
        ("Content-Length: 2\r\nContent-Length: 2", 200),
        ("Content-Length: 2, 2", 200),
        ("Content-Length: 2\r\nContent-Length: 3", 502),
        ("Content-Length: 2, 3", 502),
    ] {
        let upstream = Upstream::scripted(move |_, stream| {
            write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok").is_ok()
        });
        let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
        let answer = get(balancer.address, "/", &[]);
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.count("content-length"), 1, "{fields}");
        if status == 200 {
            assert_eq!(
                (answer.text().as_str(), answer.header("content-length")),
                ("ok", Some("2"))
            );
        } else {
            assert_eq!(answer.json()["error"]["reason"], "invalid_answer", "{fields}");
        }
    }
}

#[test]
fn what_concerns_the_backends_connection_is_not_passed_on() {
    use std::io::Write;
    let upstream = Upstream::scripted(|_, stream| {
        let header = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Own\r\nX-Own: 1\r\n\
                      Keep-Alive: timeout=5\r\nX-Kept: 1\r\n\r\nok";
        stream.write_all(header.as_bytes()).is_ok()
    });
    let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    let answer = get(balancer.address, "/", &[]);
    assert_eq!(answer.header("x-kept"), Some("1"));
    for gone in ["x-own", "keep-alive"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}
