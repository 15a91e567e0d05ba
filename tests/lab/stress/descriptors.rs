//! As many clients are let in as there are descriptors for, theirs and their backends'.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use super::process::Process;
use crate::support::{Client, Program, Upstream, get};

/// A load balancer in front of this backend, with as many descriptors as `ulimit` says.
fn before(backend: SocketAddr, ulimit: &str) -> (Program, SocketAddr) {
    let args = format!("--listen 127.0.0.1:0 --health-interval 1h --backends {backend}");
    with_descriptors(ulimit, &args)
}

/// The same with other arguments.
fn with_descriptors(ulimit: &str, args: &str) -> (Program, SocketAddr) {
    let binary = env!("CARGO_BIN_EXE_pingora-lab");
    let serve = "exec \"$0\" serve --log json";
    let program = Program::start_with(["unused"], |command| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {ulimit} && {serve} {args}"), binary]);
        shell.stdin(std::process::Stdio::null()).env_remove("RUST_LOG").process_group(0);
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        *command = shell;
    });
    let listening = event(&program, "listening");
    let address = listening["address"].as_str().and_then(|address| address.parse().ok());
    (program, address.expect("an address"))
}

/// Waits until the log has a message that begins so.
fn event(program: &Program, message: &str) -> Value {
    program.stderr_line(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["message"].as_str()?.starts_with(message).then_some(event)
    })
}

#[test]
fn as_many_descriptors_are_used_as_the_system_allows() {
    let upstream = Upstream::named("one");
    let (program, address) = before(upstream.address, "-S -n 64");
    let (soft, hard) = Process(program.id()).descriptor_limits();
    assert_eq!(soft, hard);
    let held: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(address, "/", &[]).status, 200);
    drop(held);
}

#[test]
fn whoever_is_let_in_has_a_descriptor_for_a_backend_in_reserve() {
    let (upstream, open) = Upstream::gated("one");
    let (program, address) = before(upstream.address, "-n 40");
    let said = event(&program, "fewer clients are let in than limits.connections says");
    assert_eq!((&said["allowed"], &said["clients"]), (&40.into(), &10.into()));
    // All of them at once, each with a backend's connection of its own.
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    upstream.wait_for_requests(10);
    // Who comes now is told so, and takes nothing from them.
    for _ in 0..20 {
        let answer = Client::connect(address).answer();
        assert_eq!(answer.map(|answer| answer.status), Some(503));
    }
    (0..10).for_each(|_| open.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
    }
}

#[test]
fn a_reload_that_asks_for_more_clients_than_there_are_descriptors_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    let write = |clients: u32| {
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[limits]\nconnections = {clients}\n\
             connections_per_address = 1\n[[route]]\nanswer = {{ status = 204 }}\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    write(5);
    let (program, _) = with_descriptors("-n 60", &format!("--config {}", path.display()));
    write(20);
    let said = event(&program, "fewer clients are let in than limits.connections says");
    assert_eq!((&said["clients"], &said["wanted"]), (&15.into(), &20.into()));
    event(&program, "the configuration was reloaded");
    let warned = |line: &&String| line.contains("fewer clients");
    assert_eq!(program.stderr().iter().filter(warned).count(), 1, "not at the start");
}

#[test]
fn clients_that_come_when_descriptors_have_run_out_are_served_when_there_are_some() {
    let upstream = Upstream::named("one");
    let (program, address) = before(upstream.address, "-S -n 64");
    let limit = |current| {
        let pid = Pid::from_raw(program.id().cast_signed());
        let maximum = Some(Process(program.id()).descriptor_limits().1);
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap()
    };
    // None but those that are open, as where the whole system has run out: whatever is
    // opened has a number below the limit (`setrlimit(2)`), and these have been taken.
    let before = limit(3);
    // It waits in the queue of the socket.
    let mut waiting = Client::connect(address);
    waiting.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    event(&program, "no connection can be accepted");
    limit(before.current.unwrap());
    assert_eq!(waiting.answer().map(|answer| answer.status), Some(200));
    let said = program.stderr().iter().filter(|line| line.contains("no connection can be")).count();
    assert!(said < 100, "it does not turn in circles: {said} lines");
}
