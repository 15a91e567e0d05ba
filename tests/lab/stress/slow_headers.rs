//! Clients that never finish their header hold up nobody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::load::Load;
use super::process::raise_own_limit;
use super::{alone, is_full, length, measured};
use crate::support::{Balancer, Client, Upstream};

const CLIENTS: usize = 500;

/// Beyond the deadline: for the answer and the close on a machine that is busy.
const SLACK: Duration = Duration::from_secs(2);

/// Connects, sends a byte of a header at a time, and says how long it was borne and
/// what it was told in the end.
async fn dribble(address: SocketAddr, pace: Duration) -> (Duration, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let begun = Instant::now();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    let (mut told, mut bytes) = (Vec::new(), [0; 512]);
    loop {
        tokio::select! {
            read = stream.read(&mut bytes) => match read {
                Ok(0) | Err(_) => return (begun.elapsed(), told),
                Ok(length) => told.extend_from_slice(&bytes[..length]),
            },
            () = tokio::time::sleep(pace) => {
                let _ = stream.write_all(b"a").await;
            }
        }
    }
}

#[test]
fn five_hundred_clients_that_send_a_byte_at_a_time_are_ended_and_nobody_notices() {
    let _alone = alone();
    raise_own_limit();
    let upstream = Upstream::named("one");
    let (deadline, pace) = match is_full() {
        true => (Duration::from_secs(10), Duration::from_secs(1)),
        false => (Duration::from_secs(1), Duration::from_millis(100)),
    };
    let balancer = Balancer::configured(&format!(
        "limits = {{ header_timeout = '{}ms' }}\n[[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        deadline.as_millis(),
        upstream.address
    ));
    let normal = || Load { pace: Duration::from_millis(5), ..Load::of(balancer.address) }.start(4);
    let before = normal();
    thread::sleep(Duration::from_secs(1));
    let before = before.end();

    let normal = normal();
    let (longest, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let slow = {
        let (longest, ended, stop) = (Arc::clone(&longest), Arc::clone(&ended), Arc::clone(&stop));
        let address = balancer.address;
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let client = || {
                    let (longest, ended) = (Arc::clone(&longest), Arc::clone(&ended));
                    let stop = Arc::clone(&stop);
                    tokio::spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            let (took, told) = dribble(address, pace).await;
                            let told = String::from_utf8_lossy(&told);
                            assert!(told.starts_with("HTTP/1.1 408 "), "{told:?}");
                            let took = usize::try_from(took.as_millis()).expect("a time");
                            longest.fetch_max(took, Ordering::Relaxed);
                            ended.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                };
                let clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
                for client in clients {
                    client.await.expect("it is told 408 and closed");
                }
            });
        })
    };
    thread::sleep(length());
    stop.store(true, Ordering::Relaxed);
    slow.join().expect("all are ended");
    let normal = normal.end();

    normal.assert_none_failed();
    let longest = Duration::from_millis(longest.load(Ordering::Relaxed) as u64);
    let (quiet, p99) = (before.quantile(0.99), normal.quantile(0.99));
    // Where other tests run beside this one, they are what the others wait for.
    let bound = match is_full() {
        true => Duration::from_millis(100),
        false => Duration::from_millis(100).max(quiet * 10),
    };
    let run = "500 slow headers";
    measured(run, "connections that were ended with 408", ended.load(Ordering::Relaxed), "all");
    measured(
        run,
        "the longest of them",
        format!("{longest:.1?}"),
        &format!("{deadline:?} + {SLACK:?}"),
    );
    measured(run, "normal clients' p99 before", format!("{quiet:.1?}"), "-");
    measured(run, "normal clients' p99 meanwhile", format!("{p99:.1?}"), &format!("{bound:.1?}"));
    measured(run, "normal requests, failed", format!("{}, 0", normal.answered), "0 failed");
    assert!(longest < deadline + SLACK, "{longest:?}");
    assert!(p99 < bound, "{p99:?}, and {quiet:?} before");
    assert!(ended.load(Ordering::Relaxed) >= CLIENTS);
}

/// Pingora alone gives each read of a connection's first header a minute.
#[test]
fn a_header_may_take_as_long_as_it_is_said_to() {
    let silence = Duration::from_secs(if is_full() { 65 } else { 1 });
    let upstream = Upstream::named("one");
    let balancer = Balancer::configured(&format!(
        "limits = {{ header_timeout = '{0}s', idle_timeout = '{0}s' }}\n[[pool]]\n[[pool.backend]]\naddress = '{1}'\n",
        silence.as_secs() + 30,
        upstream.address
    ));
    let clients = [("", 0), ("GET / HTTP/1.1\r\n", 0), ("", 1), ("GET / HTTP/1.1\r\n", 1)];
    let clients = clients.map(|(beginning, earlier)| {
        let mut client = Client::connect(balancer.address);
        for _ in 0..earlier {
            assert_eq!(client.get("/", &[]).text(), "one");
        }
        client.send(beginning);
        (client, beginning.is_empty())
    });
    thread::sleep(silence);
    for (mut client, silent) in clients {
        client.send(if silent { "GET / HTTP/1.1\r\nHost: x\r\n\r\n" } else { "Host: x\r\n\r\n" });
        assert_eq!(client.answer().expect("an answer").text(), "one");
    }
}
