//! Health checks: they run, and they decide who takes turns.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Balancer, Client, Program, Upstream, get};

const SOON: &[&str] = &["--health-interval", "100ms"];

fn served(balancer: &Balancer, count: usize) -> Vec<String> {
    let answers = (0..count).map(|_| get(balancer.address, "/", &[]));
    answers
        .map(|answer| {
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.text()
        })
        .collect()
}

#[test]
fn every_backend_is_checked_again_and_again() {
    let upstreams = ["a", "b"].map(Upstream::named);
    let specs: Vec<_> = upstreams.iter().map(|u| u.address.to_string()).collect();
    let _balancer = Balancer::over(&specs, SOON);
    upstreams.iter().for_each(|upstream| upstream.wait_for_connections(5));
    assert!(upstreams.iter().all(|upstream| upstream.received().is_empty()), "checks send nothing");
}

#[test]
fn a_dead_backend_leaves_and_returns() {
    let (a, mut b) = (Upstream::named("a.test"), Upstream::named("b.test"));
    let c = Upstream::named("c.test");
    let specs = [("a.test", &a), ("b.test", &b), ("c.test", &c)]
        .map(|(name, upstream)| format!("{name}={}", upstream.address));
    let mut balancer = Balancer::over(&specs, SOON);
    assert_eq!(served(&balancer, 3), ["a.test", "b.test", "c.test"]);

    b.stop();
    balancer.wait_for_health("b.test", "backend is unhealthy");
    let mut left = served(&balancer, 4);
    left.sort();
    assert_eq!(left, ["a.test", "a.test", "c.test", "c.test"], "the survivors alternate");
    // Asked for by name, it is not there, and no other is.
    let answer = get(balancer.address, "/", &["Host: b.test"]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["reason"], "no_healthy_backend");

    b.start();
    balancer.wait_for_health("b.test", "backend is healthy again");
    let mut all = served(&balancer, 3);
    all.sort();
    assert_eq!(all, ["a.test", "b.test", "c.test"]);

    // Each change is one line.
    balancer.program().signal(libc::SIGINT);
    balancer.program().wait();
    let changes = balancer.stderr().iter().filter(|line| line.contains("\"health\"")).count();
    assert_eq!(changes, 2, "{:#?}", balancer.stderr());
}

#[test]
fn a_failed_connection_has_the_backends_checked_at_once_and_until_all_are_back() {
    let (mut a, b) = (Upstream::named("a.test"), Upstream::named("b.test"));
    let specs = [format!("a.test={}", a.address), format!("b.test={}", b.address)];
    // The next regular check is an hour away.
    let balancer = Balancer::over(&specs, &["--health-interval", "1h"]);
    a.stop();
    assert_eq!(served(&balancer, 2), ["b.test", "b.test"]);
    balancer.wait_for_health("a.test", "backend is unhealthy");
    // One that is down is looked after more often than once an hour.
    a.start();
    balancer.wait_for_health("a.test", "backend is healthy again");
}

#[test]
fn the_first_request_is_answered_after_the_first_check() {
    // A backend that takes connections too slowly to be healthy: its queue is
    // full, so that the check has to run into its time limit of one second.
    let (_held, full) = full_queue(([127, 0, 0, 1], 0).into());
    let alive = Upstream::named("alive");
    // Nobody else takes ports on this loopback address.
    let free = TcpListener::bind("127.67.0.1:0").unwrap().local_addr().unwrap();
    let backends = format!("{full},{}", alive.address);
    let program = Program::start(["serve", "--listen", &free.to_string(), "--backends", &backends]);
    // The port is open before the checks begin, and long before they are over.
    alive.wait_for_connections(1);
    let mut client = Client::connect(free);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").text(), "alive");
    // Had it been answered before the check, the full one would have been tried.
    program.stderr_line(|line| line.contains("unhealthy").then_some(()));
    let access = program.stderr_line(|line| line.contains(" access: ").then(|| line.to_owned()));
    assert!(access.contains("attempts=1"), "{access}");
}

#[test]
fn a_slow_check_of_one_backend_holds_up_no_news_of_another() {
    // The check of the first takes its whole limit of a second; all are checked at once.
    let (_held, full) = full_queue(([127, 0, 0, 1], 0).into());
    let (mut dying, alive) = (Upstream::named("dying"), Upstream::named("alive"));
    let balancer = Balancer::configured(&format!(
        "[[pool]]\nhealth_check = {{ interval = \"50ms\", timeout = \"1s\" }}\n\
         [[pool.backend]]\naddress = \"{full}\"\n\
         [[pool.backend]]\nname = \"dying\"\naddress = \"{}\"\n\
         [[pool.backend]]\nname = \"alive\"\naddress = \"{}\"\n",
        dying.address, alive.address
    ));
    dying.stop();
    balancer.wait_for_health("dying", "backend is unhealthy");
    // The check of the full one goes on; who is dead is known all the same.
    for number in 0..4 {
        get(balancer.address, "/", &[&format!("X-Request-Id: {number}")]);
        assert_eq!(balancer.access(&number.to_string())["attempts"], 1);
    }
}

#[test]
fn no_healthy_backend_is_503_at_once() {
    let dead = Upstream::dead();
    // Whatever it could wait for lasts an hour.
    let balancer = Balancer::configured(&format!(
        "[timeouts]\nconnect = '1h'\nread = '1h'\ntotal = '1h'\n\
         [[pool]]\nqueue = {{ timeout = '1h' }}\nhealth_check = {{ interval = '1h', \
         unhealthy_interval = '1h' }}\n\
         [[pool.backend]]\nname = 'a.test'\naddress = '{dead}'\n"
    ));
    let begun = Instant::now();
    let answer = get(balancer.address, "/", &[]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["reason"], "no_healthy_backend");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let row = balancer.stdout_line(|line| line.contains("a.test").then(|| line.to_owned()));
    assert!(row.ends_with("unhealthy"), "{row}");
}

/// Listens on an address and fills the queue, which is never accepted from: Linux
/// drops what comes, as a host that is gone does. All of it lasts as long as what
/// is returned; the address is that of the listener.
pub(super) fn full_queue(address: SocketAddr) -> (Vec<TcpStream>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![TcpStream::from(socket)];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream);
        assert!(held.len() < 16, "the queue does not fill");
    }
    (held, address)
}
