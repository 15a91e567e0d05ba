//! Another configuration takes the place of the first, and nobody notices.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Client, Reloadable, Upstream, get};

fn pool(name: &str, upstream: &Upstream) -> String {
    let address = upstream.address;
    format!("[[pool]]\n[[pool.backend]]\nname = '{name}'\naddress = '{address}'\n")
}

#[test]
fn a_changed_file_takes_effect_and_an_invalid_one_does_not() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let lab = Reloadable::start(&pool("old", &old));
    let address = lab.balancer.address;
    assert_eq!(get(address, "/", &[]).text(), "old");
    lab.write("[[pool]]\n[[pool.backend]]\nadress = 'nonsense'\n");
    let refused = lab.wait_for_reload("was not reloaded");
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("lab.toml:3:1: unknown key `adress`: did you mean `address`?"),
        "{reason}"
    );
    assert_eq!(get(address, "/", &[]).text(), "old");
    lab.write("[[pool]]\n[[pool.backend]]\naddress = 'nowhere.invalid:80'\n");
    lab.balancer
        .event(|event| event["reason"].as_str()?.contains("does not resolve").then_some(()));
    assert_eq!(get(address, "/", &[]).text(), "old");
    lab.write(&pool("new", &new));
    lab.wait_for_reload("was reloaded");
    assert_eq!(get(address, "/", &[]).text(), "new");
}

#[test]
fn a_signal_reloads_too_and_what_needs_a_restart_is_said() {
    let upstream = Upstream::named("one");
    let lab = Reloadable::start(&pool("one", &upstream));
    lab.balancer.signal(libc::SIGHUP);
    lab.wait_for_reload("the configuration was reloaded");
    lab.write(&format!("threads = 7\n{}", pool("one", &upstream)));
    assert_eq!(lab.wait_for_reload("needs a restart")["needs_restart"], "threads");
    assert_eq!(get(lab.balancer.address, "/", &[]).text(), "one");
}

#[test]
fn a_request_in_flight_ends_as_it_began_and_its_connection_stays() {
    let (open, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let old = Upstream::scripted(move |_, stream| {
        let _ = gate.lock().unwrap().recv();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").is_ok()
    });
    let new = Upstream::named("new");
    let rule = |value: &str| format!("[headers.response]\nset = {{ x-version = '{value}' }}\n");
    let lab = Reloadable::start(&format!("{}{}", pool("old", &old), rule("1")));
    let mut client = Client::connect(lab.balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while old.received().is_empty() {
        thread::yield_now();
    }
    lab.write(&format!("{}{}", pool("new", &new), rule("2")));
    lab.wait_for_reload("was reloaded");
    open.send(()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.text().as_str(), answer.header("x-version")), ("old", Some("1")));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = client.answer().expect("the same connection");
    assert_eq!((answer.text().as_str(), answer.header("x-version")), ("new", Some("2")));
}

#[test]
fn what_is_known_of_backends_that_stay_is_kept() {
    let (up, other) = (Upstream::named("up"), Upstream::named("other"));
    let dead = Upstream::dead();
    let text = format!("{}[[pool.backend]]\nname = 'dead'\naddress = '{dead}'\n", pool("up", &up));
    let lab = Reloadable::start(&text);
    lab.balancer.wait_for_health("dead", "backend is unhealthy");
    let checks = up.connections();
    lab.write(&format!("{text}[[pool]]\nname = 'second'\n[[pool.backend]]\naddress = '{}'\n[[route]]\npool = 'default'\n", other.address));
    lab.wait_for_reload("was reloaded");
    assert_eq!(up.connections(), checks, "a pool that stays is not checked anew");
    for _ in 0..4 {
        assert_eq!(get(lab.balancer.address, "/", &[]).text(), "up");
    }
}

/// How long reloads go on under load; `LAB_FULL` runs it at its full length.
fn length() -> Duration {
    Duration::from_secs(if std::env::var_os("LAB_FULL").is_some() { 60 } else { 5 })
}

#[test]
fn no_request_fails_while_the_file_changes_every_100_ms() {
    let upstreams = ["a", "b", "c"].map(Upstream::named);
    let text = |turn: usize| {
        let of = |i: usize| {
            let name = ["a", "b", "c"][i];
            format!("[[pool.backend]]\nname = '{name}'\naddress = '{}'\n", upstreams[i].address)
        };
        format!("[[pool]]\nname = 'p{}'\n{}{}", turn % 2, of(turn % 3), of((turn + 1) % 3))
    };
    let lab = Reloadable::start(&text(0));
    let address = lab.balancer.address;
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let mut client = Client::connect(address);
                    // Half of them keep their connections.
                    for _ in 0..if number % 2 == 0 { 50 } else { 1 } {
                        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                        let answer = client.answer().expect("an answer");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let end = Instant::now() + length();
    let mut turn = 0;
    while Instant::now() < end {
        turn += 1;
        lab.write(&text(turn));
        thread::sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no request failed");
    }
    let reloads = lab.balancer.stderr().iter().filter(|line| line.contains("was reloaded")).count();
    let count = count.load(Ordering::SeqCst);
    crate::support::say(&format!("{count} requests during {reloads} reloads of {turn} changes"));
    assert!(reloads * 2 > turn, "{reloads} reloads of {turn} changes");
    assert!(count > 500, "{count}");
}
