//! Another configuration takes the place of the first, and nobody notices.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

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
    lab.write(&format!("threads = 7\n[shutdown]\ndrain = '9s'\n{}", pool("one", &upstream)));
    assert_eq!(lab.wait_for_reload("needs a restart")["needs_restart"], "threads shutdown");
    assert_eq!(get(lab.balancer.address, "/", &[]).text(), "one");
}

#[test]
fn a_request_in_flight_ends_as_it_began_and_its_connection_stays() {
    let (old, open) = Upstream::gated("old");
    let new = Upstream::named("new");
    let rule = |value: &str| format!("[headers.response]\nset = {{ x-version = '{value}' }}\n");
    let lab = Reloadable::start(&format!("{}{}", pool("old", &old), rule("1")));
    let mut client = Client::connect(lab.balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    old.wait_for_requests(1);
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

#[test]
fn a_folder_in_which_something_is_always_written_hides_no_change() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let lab = Reloadable::start(&pool("old", &old));
    // As a log does whose file is beside that of the configuration.
    let (log, stop) = (lab.file.with_extension("log"), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let writer = thread::spawn(move || {
        let mut log = std::fs::File::create(log).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            writeln!(log, "a line").unwrap();
            thread::sleep(Duration::from_millis(5));
        }
    });
    lab.write(&pool("new", &new));
    lab.wait_for_reload("was reloaded");
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(get(lab.balancer.address, "/", &[]).text(), "new");
}
