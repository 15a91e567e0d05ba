//! `pingora-lab backends`, as it is typed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pingora_lab::backends::Site;
use pingora_lab::backends::ports;
use unicode_width::UnicodeWidthStr;

use super::exchange::{self, Request};
use crate::support::Program;

/// The address that the program printed for this backend.
fn address_of(program: &Program, site: Site) -> SocketAddr {
    program.stdout_line(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(site.name())).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[test]
fn it_runs_all_three_until_a_signal() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let program = Program::start(["backends", "--ports", "0,0,0", "--lang", "en"]);
        for site in Site::ALL {
            let answer = exchange::fetch(address_of(&program, site), &Request::get("/"));
            assert_eq!((answer.status, answer.header("x-lab-backend")), (200, Some(site.name())));
        }
        program.stdout_line(|line| (line == "Ctrl-C to stop.").then_some(()));
        program.signal(signal);
        let (code, stdout, stderr) = program.finish();
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        let command = stdout.lines().find(|line| line.contains("jsonplaceholder")).unwrap();
        assert!(command.contains("  curl -i 127.0.0.1:"), "{command}");
    }
}

#[test]
fn a_signal_ends_what_is_in_flight() {
    let program = Program::start(["backends", "--ports", "0,0,0"]);
    let mut dripping = exchange::Connection::open(address_of(&program, Site::Httpbin));
    dripping.send(b"GET /drip?duration=60&numbytes=2 HTTP/1.1\r\nHost: a\r\n\r\n");
    dripping.receive_head();
    program.signal(libc::SIGINT);
    assert_eq!(program.finish().0, 0);
    assert!(dripping.ends());
}

#[test]
fn the_table_lines_up_in_chinese() {
    let program = Program::start(["backends", "--ports", "0,0,0", "--lang", "zh"]);
    program.stdout_line(|line| (line == "按 Ctrl-C 停止。").then_some(()));
    program.signal(libc::SIGINT);
    let (_, stdout, _) = program.finish();
    let column = |text: &str| {
        let line = stdout.lines().find(|line| line.contains(text)).unwrap();
        line.split_once(text).unwrap().0.width()
    };
    assert_eq!(column("地址"), column("127.0.0.1:"), "{stdout}");
    assert_eq!(column("试一试"), column("curl"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn taken_ports_are_named_with_the_way_out() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let taken = [TcpListener::bind(any).unwrap(), TcpListener::bind(any).unwrap()];
    let [first, second] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    let ports = format!("{},0,{}", first.port(), second.port());
    for (language, label) in [("en", "already in use: "), ("zh", "端口已被占用：")] {
        let run = Program::run(["backends", "--ports", &ports, "--lang", language]);
        let (code, stdout, stderr) = run;
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for part in [label, &first.to_string(), &second.to_string(), "--ports 0,0,0"] {
            assert!(stderr.contains(part), "{part} in {stderr}");
        }
        assert!(!stderr.contains("example.com"), "that one was free: {stderr}");
    }
}

#[test]
fn ports_that_make_no_sense_are_a_usage_error() {
    let cases = [
        (["--ports", "7001,7002"], "three ports are wanted"),
        (["--ports", "7001,7001,7002"], "port 7001 is there twice"),
        (["--ports", "1,2,65536"], "'65536' is no port"),
        (["--host", "localhost"], "invalid IP address syntax"),
    ];
    for (args, message) in cases {
        let (code, stdout, stderr) = Program::run(["backends", args[0], args[1]]);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(message), "{message} in {stderr}");
    }
}

#[test]
fn an_address_of_another_machine_is_said_to_be_one() {
    // RFC 5737: of documentation, nobody's.
    let args = ["backends", "--host", "192.0.2.1", "--ports", "0,0,0", "--lang", "en"];
    let (code, _, stderr) = Program::run(args);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("not an address of this machine: 192.0.2.1:0 (httpbin.org)"),
        "{stderr}"
    );
    assert!(stderr.contains("--host") && !stderr.contains("--ports"), "{stderr}");
}

#[test]
fn a_reader_that_has_gone_is_no_trouble() {
    // What it prints cannot be read here, so the ports are chosen here.
    let addresses = [(); 3].map(|()| ports::free().unwrap());
    let ports = addresses.map(|address| address.port().to_string()).join(",");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = Command::new(env!("CARGO_BIN_EXE_pingora-lab"))
        .args(["backends", "--ports", &ports])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Ends when the backend listens, or when the program has ended.
    let begun = Instant::now();
    while TcpStream::connect(addresses[2]).is_err() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it neither listens nor ends");
        std::thread::yield_now();
    }
    let answer = exchange::fetch(addresses[1], &Request::get("/"));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((answer.status, output.status.code(), &*stderr), (200, Some(0), ""));
}
