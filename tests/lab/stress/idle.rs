//! Connections that nobody uses cost little, and nothing once they are closed.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;

use tokio::net::TcpStream;

use super::load::{Load, exchange};
use super::process::{Process, raise_own_limit};
use super::{alone, count, is_full, measured};
use crate::support::{Balancer, Program, Upstream, get};

/// What may stay of three rounds, in KiB: far less than one round of a few hundred
/// connections has.
const KEPT: u64 = 4 * 1024;

/// What one connection may cost, in KiB, where the program is built for speed; not
/// so it costs more.
const EACH: u64 = if cfg!(debug_assertions) { 25 } else { 12 };

fn balancer(upstream: &Upstream) -> Balancer {
    Balancer::configured(&format!(
        "limits = {{ connections_per_address = 10000, idle_timeout = '10m' }}\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        upstream.address
    ))
}

/// Connections that have had one request answered each.
async fn idle(address: SocketAddr, many: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(many);
    for _ in 0..many {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let reply = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(reply.expect("an answer").status, 200);
        streams.push(stream);
    }
    streams
}

#[test]
fn five_thousand_idle_connections_are_borne_and_leave_nothing_behind() {
    let _alone = alone();
    raise_own_limit();
    let upstream = Upstream::named("one");
    let balancer = balancer(&upstream);
    let (address, process) = (balancer.address, Process(balancer.id()));
    let many = count(5000).max(500);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let round = || {
        runtime.block_on(async {
            let streams = idle(address, many).await;
            let held = (process.resident(), process.descriptors());
            // Whoever comes now is served as well.
            let busy = Load { per_connection: 1, ..Load::of(address) }.start(2);
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            busy.end().assert_none_failed();
            drop(streams);
            held
        })
    };
    let begun = (process.resident(), process.descriptors());
    let first = round();
    assert!(first.1 >= begun.1 + many, "{} connections are open", first.1 - begun.1);
    // Those to the backend stay for a while.
    let most = begun.1 + 16;
    let mut left = process.wait_for_descriptors(most);
    let mut again = |rounds: usize| -> Vec<u64> {
        let kept = (0..rounds).map(|_| {
            round();
            left = process.wait_for_descriptors(most);
            process.resident()
        });
        kept.collect()
    };
    // The allocator keeps what each thread had at its busiest until somebody needs it,
    // and which thread has which connections is left to chance. What leaks is never
    // given back, so that the least of later rounds is beyond the most of earlier ones.
    let early = again(3).into_iter().max().expect("rounds");
    let late = again(3).into_iter().min().expect("rounds");

    let each = (first.0 - begun.0) / many as u64;
    let run = format!("{many} idle connections");
    let growth = late.saturating_sub(early);
    measured(&run, "memory of each", format!("{each} KiB"), &format!("{EACH} KiB"));
    measured(&run, "descriptors before and after", format!("{}, {left}", begun.1), "+ 16");
    measured(&run, "growth over rounds", format!("{growth} KiB"), &format!("{KEPT} KiB"));
    assert!(left <= most, "{left} descriptors are open, {} were before", begun.1);
    assert!(growth <= KEPT, "{early} KiB have become {late} KiB");
    assert!(each <= EACH, "{each} KiB for each");
    assert!(is_full() || many < 5000);
}

/// A load balancer with no more descriptors than these, by `ulimit`.
fn with_descriptors(ulimit: &str, backend: &str) -> (Program, SocketAddr) {
    let binary = env!("CARGO_BIN_EXE_pingora-lab");
    let serve = "exec \"$0\" serve --listen 127.0.0.1:0 --log json --backends";
    let program = Program::start_with(["unused"], |command| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {ulimit} && {serve} {backend}"), binary]);
        shell.stdin(std::process::Stdio::null()).env_remove("RUST_LOG").process_group(0);
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        *command = shell;
    });
    let address = program.stderr_line(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        (event["message"] == "listening").then(|| event["address"].as_str()?.parse().ok())?
    });
    (program, address)
}

#[test]
fn as_many_descriptors_are_used_as_the_system_allows() {
    let upstream = Upstream::named("one");
    let (program, address) = with_descriptors("-S -n 64", &upstream.address.to_string());
    let (soft, hard) = Process(program.id()).descriptor_limits();
    assert_eq!(soft, hard);
    let held: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    assert_eq!(get(address, "/", &[]).status, 200);
    drop(held);
}

#[test]
fn clients_that_come_when_descriptors_have_run_out_are_served_when_there_are_some() {
    let upstream = Upstream::named("one");
    let (program, address) = with_descriptors("-n 40", &upstream.address.to_string());
    let held: Vec<_> = (0..60).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    program.stderr_line(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        (event["message"] == "no connection can be accepted").then_some(())
    });
    // It waits in the queue of the socket, as those do that are held.
    let waiting = std::thread::spawn(move || get(address, "/", &[]).status);
    drop(held);
    assert_eq!(waiting.join().unwrap(), 200);
    let said = program.stderr().iter().filter(|line| line.contains("no connection can be")).count();
    assert!(said < 100, "it does not turn in circles: {said} lines");
}
