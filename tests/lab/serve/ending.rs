//! How the process ends.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Balancer, Client, Program, Upstream};

/// Time in which a machine that is busy with other things still does what is due at
/// once. Whatever else it could wait for here lasts an hour, or for ever.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn ctrl_c_ends_it_at_once_whatever_is_in_flight() {
    let (upstream, _open) = Upstream::gated("slow");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--drain", "1h"]);
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(1);
    let (code, took) = balancer.end_with(libc::SIGINT);
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn an_end_that_was_asked_for_is_no_error() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let upstream = Upstream::named("a");
        let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
        assert_eq!(Client::connect(balancer.address).get("/", &[]).status, 200);
        let program = balancer.into_program();
        program.signal(signal);
        let (code, _, log) = program.finish();
        assert_eq!(code, 0, "{log}");
        assert!(log.contains("listening") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_accepts_nothing_new() {
    let (upstream, open) = Upstream::gated("slow");
    let mut balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    let mut idle = Client::connect(balancer.address);
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(1);

    balancer.program().signal(libc::SIGTERM);
    assert!(idle.is_closed(), "an idle connection is closed");
    balancer
        .event(|event| event["message"].as_str()?.starts_with("no longer accepting").then_some(()));
    // The listener is closed by now or in a moment; nothing is served on it.
    let refused = || match TcpStream::connect(balancer.address) {
        Err(_) => true,
        Ok(stream) => {
            let mut client = Client::from(stream);
            client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client.is_closed()
        }
    };
    assert!(refused());
    open.send(()).unwrap();
    let answer = client.answer().expect("the answer comes");
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    assert!(client.is_closed(), "a kept connection would keep the process");
    assert_eq!(balancer.program().wait().code(), Some(0));
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn with_nothing_in_flight_sigterm_ends_it_at_once() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--drain", "1h"]);
    let _idle = Client::connect(balancer.address);
    let (code, took) = balancer.end_with(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn what_does_not_finish_in_time_is_cut() {
    let (upstream, _open) = Upstream::gated("slow");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--drain", "300ms"]);
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(1);
    let (code, took) = balancer.end_with(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(client.answer(), None);
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_traffic_nor_the_end() {
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    let (_unread, stderr) = std::io::pipe().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--backends", &backends];
    let mut program = Program::start_with(args, |command| {
        command.stderr(stderr);
    });
    let address = program.stdout_line(|line| line.split_once("http://")?.1.trim().parse().ok());
    // More lines than a pipe holds (64 KiB).
    let mut client = Client::connect(address);
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    let begun = std::time::Instant::now();
    program.signal(libc::SIGINT);
    assert_eq!(program.wait().code(), Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_second_signal_ends_the_wait() {
    let (upstream, _open) = Upstream::gated("slow");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--drain", "1h"]);
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(1);
    balancer.signal(libc::SIGTERM);
    balancer
        .event(|event| event["message"].as_str()?.starts_with("no longer accepting").then_some(()));
    let (code, took) = balancer.end_with(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_signal_before_the_first_check_is_over_ends_it_in_order() {
    // One check has to run into its limit of one second; the other shows that the
    // checks have begun.
    let (_held, full) = super::health::full_queue(([127, 0, 0, 1], 0).into());
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let alive = Upstream::named("alive");
        let backends = format!("{full},{}", alive.address);
        let mut program =
            Program::start(["serve", "--listen", "127.0.0.1:0", "--backends", &backends]);
        alive.wait_for_connections(1);
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn a_full_disk_under_the_screen_or_the_log_stops_no_request() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    let args = ["serve", "--listen", "127.0.0.1:0", "--backends", &backends];
    let no_screen = Program::start_with(args, |command| {
        command.stdout(full());
    });
    let address = no_screen.stderr_line(|line| line.split_once("address=")?.1.trim().parse().ok());
    serves_and_ends(no_screen, address);
    let no_log = Program::start_with(args, |command| {
        command.stderr(full());
    });
    let address = no_log.stdout_line(|line| line.split_once("http://")?.1.trim().parse().ok());
    serves_and_ends(no_log, address);
}

fn serves_and_ends(mut program: Program, address: std::net::SocketAddr) {
    let mut client = Client::connect(address);
    for _ in 0..100 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.answer().expect("an answer").text(), "a");
    }
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}
