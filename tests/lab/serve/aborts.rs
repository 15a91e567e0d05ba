//! Clients that go away leave nothing behind, whatever they were doing.

use std::time::{Duration, Instant};

use pingora_lab::backends::recording::{Act, Gate, Reply};

use crate::support::{Balancer, Client, Recording, get};

/// How many clients go away at each point.
const CLIENTS: usize = 100;

/// How many descriptors the process has open.
fn descriptors(balancer: &mut Balancer) -> usize {
    let folder = format!("/proc/{}/fd", balancer.program().id());
    std::fs::read_dir(folder).expect("a Linux system").count()
}

/// Waits until the process has no more descriptors open than that.
#[track_caller]
fn wait_for_descriptors(balancer: &mut Balancer, most: usize) {
    let begun = Instant::now();
    loop {
        let open = descriptors(balancer);
        if open <= most {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{open} descriptors, {most} before");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn clients_that_go_away_at_any_point_leave_nothing_behind() {
    let backend = Recording::start();
    let gate = Gate::closed();
    let held = gate.clone();
    let large = Reply::ok(vec![b'x'; 4 * 1024 * 1024]);
    backend.set_to(move |request| match request.path() {
        "/held" => Act::Hold(held.clone(), Reply::ok("late")),
        "/large" => Act::Answer(large.clone()),
        _ => Act::Answer(Reply::ok(request.body.clone())),
    });
    let mut balancer =
        Balancer::over(&[backend.address().to_string()], &["--health-interval", "1h"]);
    // The first request opens what stays open: a connection to the backend.
    assert_eq!(get(balancer.address, "/", &[]).status, 200);
    let before = descriptors(&mut balancer);
    let upload = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(5000)
        )
    };
    let chunked = "POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
    let points: [(&str, String); 7] = [
        ("before it says anything", String::new()),
        ("in the header", "GET / HTTP/1.1\r\nHost: x\r\nX: ".to_owned()),
        ("in a body", upload("/upload")),
        ("in a chunk", chunked.to_owned()),
        (
            "while it is to send",
            "POST /leave HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
                .to_owned(),
        ),
        ("while the backend is at work", "GET /held HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("in the answer", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
    ];
    for (point, request) in &points {
        for (reset, number) in [false, true].into_iter().cycle().zip(0..CLIENTS) {
            let mut client = Client::connect(balancer.address);
            client.send(request);
            match *point {
                // Some of it has come, and most of it is on its way.
                "in the answer" => assert_eq!(client.header().unwrap().status, 200),
                "while it is to send" => assert_eq!(client.header().unwrap().status, 100),
                "while the backend is at work" if number % 10 == 0 => {
                    backend.wait_for("/held");
                }
                _ => {}
            }
            if reset { client.reset() } else { drop(client) }
        }
        wait_for_descriptors(&mut balancer, before);
        // A connection that was left in the middle of a request would show here.
        let body = "hello".repeat(100);
        for _ in 0..5 {
            let mut client = Client::connect(balancer.address);
            client.send(format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            let answer = client.answer().expect("an answer");
            assert!(answer.status == 200 && answer.text() == body, "after {point}: {answer:?}");
        }
    }
    let log = backend.requests();
    assert!(log.iter().all(|request| request.framing_error.is_none()));
    for broken in log.iter().filter(|request| !request.complete) {
        // Nothing came over it afterwards.
        let later = log.iter().filter(|other| other.connection == broken.connection);
        assert!(later.map(|other| other.nth_on_connection).max() == Some(broken.nth_on_connection));
        backend.wait_until_left(broken);
    }
    assert!(log.iter().filter(|request| request.path() == "/upload").count() > 0);
    // Nothing counts as in flight: a drain has nothing to wait for.
    let (code, took) = balancer.end_with(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    gate.open();
}
