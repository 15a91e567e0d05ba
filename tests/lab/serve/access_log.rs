//! One line a request.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Admin, Balancer, Client, Metrics, Program, Upstream, ask, get};

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
        ("bytes_in", 0.into()),
        ("route", "default".into()),
        ("protocol", "HTTP/1.1".into()),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    let duration = line["duration_ms"].as_f64().expect("a number");
    assert!(duration > 0.0 && duration < 30_000.0, "{duration}");
    let upstream_time = line["upstream_ms"].as_f64().expect("a number");
    assert!(upstream_time > 0.0 && upstream_time <= duration, "{upstream_time}");
    assert_eq!(balancer.access("two")["method"], "POST");
    assert_eq!(balancer.access("two")["bytes_in"], 1);
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

/// A configuration with one pool, over one backend, and more.
fn configuration(upstream: &Upstream, more: &str) -> String {
    format!("{more}\n[[pool]]\n[[pool.backend]]\nname = 'a'\naddress = '{}'\n", upstream.address)
}

/// An access log in a file.
fn to_file(path: &Path) -> String {
    format!("[access_log]\nto = {{ file = '{}' }}\nformat = 'json'\n", path.display())
}

/// The ids in a file, each line of which must be whole.
fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines()
        .map(|line| {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
            event["request_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Sends requests with ids `NAME-0` to `NAME-(count-1)` over one connection.
fn send_many(address: std::net::SocketAddr, name: &str, count: usize) {
    let mut client = Client::connect(address);
    for number in 0..count {
        client.send(format!(
            "GET /{number} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}-{number}\r\n\r\n"
        ));
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
}

#[test]
fn a_file_that_is_rotated_under_load_loses_and_tears_no_line() {
    let upstream = Upstream::named("a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let balancer = Balancer::configured(&configuration(&upstream, &to_file(&path)));
    let address = balancer.address;
    let clients = ["a", "b", "c"].map(|name| thread::spawn(move || send_many(address, name, 400)));
    let mut rotations = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        rotations += 1;
        std::fs::rename(&path, folder.path().join(format!("access.log.{rotations}"))).unwrap();
        balancer.signal(libc::SIGUSR1);
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            thread::sleep(Duration::from_millis(1));
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    // All is written at the end.
    assert_eq!(balancer.end_with(libc::SIGTERM).0, Some(0));
    let files = (1..=rotations).map(|number| folder.path().join(format!("access.log.{number}")));
    let all: Vec<String> = files.chain([path]).flat_map(|path| ids(&path)).collect();
    assert!(rotations > 2, "{rotations}");
    assert_eq!(all.len(), 3 * 400);
    for name in ["a-", "b-", "c-"] {
        let numbers = all.iter().filter_map(|id| id.strip_prefix(name)?.parse::<usize>().ok());
        // Those of one connection are in their order.
        assert!(numbers.eq(0..400), "{name} {all:?}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_with_its_place() {
    let upstream = Upstream::named("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    for path in [folder.path().join("nowhere/access.log"), folder.path().to_owned()] {
        std::fs::write(&file, configuration(&upstream, &to_file(&path))).unwrap();
        for flags in [&["--check"][..], &[]] {
            let args = ["serve", "--config", file.to_str().unwrap()];
            let (code, _, stderr) = Program::run(args.iter().chain(flags));
            assert_eq!(code, 1, "{stderr}");
            assert!(stderr.contains("lab.toml:2:15: cannot open the access log"), "{stderr}");
        }
    }
    let path = folder.path().join("access.log");
    std::fs::write(&file, configuration(&upstream, &to_file(&path))).unwrap();
    let (code, ..) = Program::run(["serve", "--config", file.to_str().unwrap(), "--check"]);
    assert_eq!(code, 0);
    assert!(!path.exists(), "a check makes no file");
}

#[test]
fn a_full_disk_is_told_once_and_requests_go_on() {
    let upstream = Upstream::named("a");
    let mut balancer =
        Balancer::configured(&configuration(&upstream, &to_file(Path::new("/dev/full"))));
    for number in 0..20 {
        send_many(balancer.address, &number.to_string(), 10);
    }
    let told = |line: &str| line.contains("the access log cannot be written");
    balancer.stderr_line(|line| told(line).then_some(()));
    balancer.program().signal(libc::SIGTERM);
    assert_eq!(balancer.program().wait().code(), Some(0));
    assert_eq!(balancer.stderr().iter().filter(|line| told(line)).count(), 1);
}

#[test]
fn a_reader_that_stops_reading_holds_up_no_request() {
    let upstream = Upstream::named("a");
    let (reader, stdout) = std::io::pipe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let log = "[access_log]\nto = 'stdout'\nformat = 'json'\n";
    std::fs::write(&file, configuration(&upstream, log)).unwrap();
    let file = file.to_str().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", file];
    let mut program = Program::start_with(args, |command| {
        command.stdout(stdout);
    });
    let said = |what: &str| {
        program.stderr_line(|line| {
            line.contains(what).then(|| line.split_once("address=")?.1.trim().parse().ok())?
        })
    };
    let (address, admin) = (said("listening"), Admin { address: said("looked after") });
    let lost = || admin.metrics().sum("pingora_lab_access_log_lines_lost_total", &[]);
    assert_eq!(lost(), 0.0);
    // More than a pipe holds, and more than may wait (16 MiB) in lines of 50 KB.
    let path = "x".repeat(50_000);
    let mut client = Client::connect(address);
    for number in 0..400 {
        client.send(format!("GET /{path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {number}\r\n\r\n"));
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    // It shows while nobody reads, when the log itself cannot say it yet. A request is in
    // flight until its line is written or lost, which is after its answer.
    let in_flight = |metrics: &Metrics| metrics.sum("pingora_lab_requests_in_flight", &[]);
    admin.until("all have ended", |metrics| in_flight(metrics) == 0.0);
    let shown = lost();
    assert!(shown > 0.0 && shown < 400.0, "{shown}");
    let (line, lines) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for text in BufReader::new(reader).lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
    });
    let next = || loop {
        // The others are the screen's.
        let text = lines.recv_timeout(Duration::from_secs(30)).expect("a line");
        if text.starts_with('{') {
            let event: Value = serde_json::from_str(&text).expect("each line is whole");
            return event["request_id"].as_str().expect("an id").to_owned();
        }
    };
    let told: usize = program.stderr_line(|line| {
        line.contains("some are lost")
            .then(|| line.split_once("lost=")?.1.split_whitespace().next()?.parse().ok())?
    });
    assert_eq!(told as f64, shown);
    // All that was not lost comes, in its order.
    let kept: Vec<usize> = (told..400).map(|_| next().parse().expect("a number")).collect();
    assert!(kept.is_sorted());
    send_many(address, "last", 1);
    assert_eq!(next(), "last-0");
    assert_eq!(lost(), shown);
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn switched_off_there_is_none() {
    let upstream = Upstream::named("a");
    let mut balancer =
        Balancer::configured(&configuration(&upstream, "access_log = { enabled = false }\n"));
    get(balancer.address, "/", &[]);
    balancer.program().signal(libc::SIGTERM);
    balancer.program().wait();
    assert!(!balancer.stderr().iter().any(|line| line.contains("\"access\"")));
}
