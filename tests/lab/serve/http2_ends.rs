//! How connections of HTTP/2 end whose clients are slow, silent or do as they please.

use std::time::{Duration, Instant};

use pingora_lab::backends::recording::{Act, Gate, Reply};

use crate::support::frames::{DATA, Frames, PING, WINDOW_UPDATE, frame};
use crate::support::{Balancer, Recording};

/// More than anything here waits for.
const ROOM: usize = 1 << 20;

fn lab(limits: &str) -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[limits]\n{limits}\n[[pool]]\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    (backend, balancer)
}

#[test]
fn a_slow_client_has_its_whole_answer_though_it_speaks_when_the_connection_ends() {
    let (backend, balancer) = lab("requests_per_connection = 1");
    let (gate, body) = (Gate::closed(), vec![b'x'; 12 * 1024]);
    let (held, reply) = (gate.clone(), Reply::ok(body.clone()));
    backend.set_to(move |_| Act::Hold(held.clone(), reply.clone()));
    // With hardly any room, so that most of the answer waits in the balancer's socket.
    let mut client = Frames::connect(balancer.address, 2048);
    client.ask(1).unwrap();
    // It is told to leave, and has heard it.
    let ping = client.until(PING);
    client.send(&frame(PING, 1, 0, &ping)).unwrap();
    gate.open();
    balancer.event(|event| (event["target"] == "access").then_some(()));
    // It makes room for another byte, again and again, as clients do that read.
    let more = frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes());
    for _ in 0..50 {
        if client.send(&more).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut received = 0;
    while let Some((kind, payload)) = client.next() {
        received += if kind == DATA { payload.len() } else { 0 };
    }
    assert_eq!(received, body.len());
}

#[test]
fn a_client_that_is_told_to_leave_and_says_nothing_is_let_go() {
    let (_backend, balancer) = lab("requests_per_connection = 1\nhttp2_idle_timeout = '300ms'");
    let mut client = Frames::connect(balancer.address, ROOM);
    let begun = Instant::now();
    client.ask(1).unwrap();
    client.until(PING);
    while client.next().is_some() {}
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_client_that_is_told_to_leave_has_the_answer_that_it_waits_for() {
    let (backend, balancer) = lab("requests_per_connection = 1\nhttp2_idle_timeout = '100ms'");
    let gate = Gate::closed();
    let held = gate.clone();
    backend.set_to(move |_| Act::Hold(held.clone(), Reply::ok("done")));
    let mut client = Frames::connect(balancer.address, ROOM);
    client.ask(1).unwrap();
    client.until(PING);
    // Several times as long as it may be idle.
    std::thread::sleep(Duration::from_secs(1));
    gate.open();
    assert_eq!(client.until(DATA), b"done");
    while client.next().is_some() {}
}

#[test]
fn a_client_that_is_told_to_leave_and_goes_on_asking_is_cut_off() {
    let (backend, balancer) = lab("requests_per_connection = 3\nhttp2_streams = 2");
    let mut client = Frames::connect(balancer.address, ROOM);
    let mut answered = 0;
    for number in 0..1000 {
        // It is told again and again, and never says that it has heard it.
        if client.ask(number * 2 + 1).is_err() {
            break;
        }
        loop {
            match client.next() {
                Some((DATA, _)) => break answered += 1,
                Some(_) => {}
                None => break,
            }
        }
    }
    // Three that it may have, and twice the two that may be under way at once.
    assert!((3..=7).contains(&answered), "{answered}");
    assert!(backend.requests().len() <= 8, "{}", backend.requests().len());
}
