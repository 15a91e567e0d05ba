//! Connections that nobody uses cost little, and nothing once they are closed.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::load::{Load, exchange};
use super::process::{Process, raise_own_limit};
use super::{alone, count, is_full, measured};
use crate::support::{Balancer, Upstream};

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
