//! Uploads that their clients give up leave nothing behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::{Process, raise_own_limit};
use super::{alone, count, measured};
use crate::support::{Balancer, Upstream, get};

/// At one time.
const TOGETHER: usize = 32;

/// What memory may grow by while all are sent, in KiB: allocators keep some of what
/// they are given back.
const KEPT: u64 = 8 * 1024;

/// Begins an upload and goes away at some point of it, politely or not.
async fn give_up(address: SocketAddr, random: &mut StdRng) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let chunked = random.random();
    let head = match chunked {
        true => "POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        false => "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    };
    let mut bytes = head.as_bytes().to_vec();
    match random.random_range(0..8) {
        // Inside the header.
        0 => bytes.truncate(random.random_range(1..bytes.len())),
        // Before the body.
        1 => {}
        _ => {
            let body = random.random_range(1..200_000);
            if chunked {
                bytes.extend_from_slice(format!("{:x}\r\n", body + 1).as_bytes());
            }
            bytes.resize(bytes.len() + body, b'x');
        }
    }
    // The proxy may have had enough of it first.
    let _ = stream.write_all(&bytes).await;
    match random.random_range(0..4) {
        // Without a word (RST).
        0 => drop(stream.set_zero_linger()),
        // As one who still reads.
        1 => {
            let _ = stream.shutdown().await;
            let _ = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 512])).await;
        }
        2 => tokio::time::sleep(Duration::from_millis(random.random_range(0..5))).await,
        _ => {}
    }
}

fn send(address: SocketAddr, many: usize, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let left = Arc::new(std::sync::atomic::AtomicUsize::new(many));
        let clients: Vec<_> = (0..TOGETHER as u64)
            .map(|client| {
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    use std::sync::atomic::Ordering::Relaxed;
                    let mut random = StdRng::seed_from_u64(seed + client);
                    while left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
                        give_up(address, &mut random).await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("a client does not panic");
        }
    });
}

#[test]
fn ten_thousand_uploads_that_are_given_up_leave_nothing_behind() {
    let _alone = alone();
    raise_own_limit();
    let upstream = Upstream::named("one");
    let balancer = Balancer::configured(&format!(
        "[[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        upstream.address
    ));
    let (address, process) = (balancer.address, Process(balancer.id()));
    let many = count(10_000);
    assert_eq!(get(address, "/", &[]).status, 200);
    let begun = process.descriptors();
    // What is grown once and kept, such as buffers and tables, is there after this.
    send(address, many / 4, 1);
    let open = process.wait_for_descriptors(begun);
    let warm = process.resident();
    send(address, many, 1000);
    let left = process.wait_for_descriptors(begun);
    let after = process.resident();
    let growth = after.saturating_sub(warm);

    let run = format!("{many} aborted uploads");
    measured(&run, "descriptors before and after", format!("{begun}, {left}"), "no more");
    measured(&run, "memory before and after", format!("{warm}, {after} KiB"), "-");
    measured(&run, "growth", format!("{growth} KiB"), &format!("{KEPT} KiB"));
    assert!(open <= begun && left <= begun, "{begun}, {open}, {left} descriptors");
    assert!(growth <= KEPT, "{warm} KiB have become {after} KiB");
    assert_eq!(get(address, "/", &[]).status, 200);
    // No client of the pool is left over that would be sent the rest of an upload.
    let whole = upstream.received();
    assert!(whole.iter().all(|r| !r.line.starts_with("POST") || r.body.is_empty()));
}
