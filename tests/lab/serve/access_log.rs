//! One line a request.

use serde_json::Value;

use crate::support::{Balancer, Program, Upstream, ask, get};

#[test]
fn every_request_is_one_line_with_all_there_is_to_say() {
    let upstream = Upstream::named("a.test");
    let mut balancer = Balancer::over(&[format!("a.test={}", upstream.address)], &[]);
    get(balancer.address, "/some/path?secret=1", &["Host: www.test", "X-Request-Id: one"]);
    ask(
        balancer.address,
        "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: two\r\nContent-Length: 1\r\n\r\nx",
    );
    ask(balancer.address, "GET / HTTP/1.1\r\nHost: a b\r\nX-Request-Id: three\r\n\r\n");
    let line = balancer.access("one");
    for (field, expected) in [
        ("method", Value::from("GET")),
        ("host", "www.test".into()),
        ("path", "/some/path".into()),
        ("status", 200.into()),
        ("backend", "a.test".into()),
        ("attempts", 1.into()),
        ("bytes", 6.into()),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    let duration = line["duration_ms"].as_f64().expect("a number");
    assert!(duration > 0.0 && duration < 30_000.0, "{duration}");
    assert_eq!(balancer.access("two")["method"], "POST");
    assert_eq!(balancer.access("three")["reason"], "invalid_host");
    balancer.program().signal(libc::SIGINT);
    balancer.program().wait();
    let lines = balancer.stderr();
    assert_eq!(lines.iter().filter(|line| line.contains("\"access\"")).count(), 3, "{lines:#?}");
}

#[test]
fn nothing_in_a_request_forges_a_line() {
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    for form in ["json", "text"] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--backends", &backends, "--log", form];
        let program = Program::start(args);
        let address = program.stderr_line(|line| {
            let (_, rest) = line.split_once("127.0.0.1:")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            line.contains("listening").then(|| format!("127.0.0.1:{digits}").parse().unwrap())
        });
        get(address, "/%22%0a\"status=999\u{1b}[31m", &[]);
        get(address, "/last", &[]);
        program.stderr_line(|line| line.contains("/last").then_some(()));
        for line in program.stderr() {
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
            if form == "json" {
                let event: Value = serde_json::from_str(&line).expect("each line is JSON");
                assert_ne!(event["status"], 999);
            }
        }
    }
}

#[test]
fn rust_log_says_what_is_logged() {
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    let args = ["serve", "--listen", "127.0.0.1:0", "--backends", &backends];
    let mut quiet = Program::start_with(args, |command| {
        command.env("RUST_LOG", "server=info,access=off");
    });
    let address = quiet.stdout_line(|line| line.split_once("http://")?.1.trim().parse().ok());
    get(address, "/", &[]);
    quiet.signal(libc::SIGTERM);
    quiet.wait();
    let lines = quiet.stderr();
    assert!(lines.iter().any(|line| line.contains("finishing what is in flight")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("access")), "{lines:?}");
}
