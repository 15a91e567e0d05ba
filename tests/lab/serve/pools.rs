//! How a pool spreads requests, and what it does about backends that fail them.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Balancer, Client, Upstream, get};

/// A pool of named backends, `keys` being the pool's own.
fn pool(keys: &str, backends: &[(&str, &Upstream, &str)]) -> String {
    let backends: String = backends
        .iter()
        .map(|(name, upstream, keys)| {
            let address = upstream.address;
            format!("[[pool.backend]]\nname = '{name}'\naddress = '{address}'\n{keys}\n")
        })
        .collect();
    format!("[[pool]]\n{keys}\n{backends}")
}

#[test]
fn weights_are_exact_over_a_cycle_and_smooth_within() {
    let upstreams = ["a", "b", "c"].map(Upstream::named);
    let balancer = Balancer::configured(&pool(
        "",
        &[("a", &upstreams[0], "weight = 5"), ("b", &upstreams[1], ""), ("c", &upstreams[2], "")],
    ));
    let order: String = (0..14).map(|_| get(balancer.address, "/", &[]).text()).collect();
    assert_eq!(order, "aabacaaaabacaa");
}

#[test]
fn chance_follows_the_weights() {
    let upstreams = ["a", "b"].map(Upstream::named);
    let balancer = Balancer::configured(&format!(
        "limits = {{ requests_per_connection = 2000 }}\n{}",
        pool("balance = 'random'", &[("a", &upstreams[0], "weight = 3"), ("b", &upstreams[1], "")],)
    ));
    let mut client = Client::connect(balancer.address);
    let mut tally = BTreeMap::new();
    for _ in 0..2000 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        *tally.entry(client.answer().unwrap().text()).or_insert(0) += 1;
    }
    // Six standard deviations (19.4) around 1,500.
    assert!((1384..=1616).contains(&tally["a"]), "{tally:?}");
}

#[test]
fn the_one_with_fewer_requests_in_flight_is_asked() {
    let (slow, open) = Upstream::gated("slow");
    let quick = Upstream::named("quick");
    let balancer = Balancer::configured(&pool(
        "balance = 'least_requests'",
        &[("slow", &slow, ""), ("quick", &quick, "")],
    ));
    // Two requests that ask for it by name sit at the slow one; from then on nobody
    // else is sent there, though it is drawn as often as the other.
    let address = balancer.address;
    let stuck = [(); 2].map(|()| thread::spawn(move || get(address, "/", &["Host: slow"]).text()));
    slow.wait_for_requests(2);
    for _ in 0..40 {
        assert_eq!(get(address, "/", &[]).text(), "quick");
    }
    assert_eq!(slow.received().len(), 2);
    for _ in &stuck {
        open.send(()).unwrap();
    }
    for request in stuck {
        assert_eq!(request.join().unwrap(), "slow");
    }
}

#[test]
fn one_key_goes_to_one_backend_and_only_the_keys_of_a_lost_one_move() {
    let mut upstreams = ["a", "b", "c"].map(Upstream::named);
    let text = pool(
        "balance = 'consistent_hash'\nhash_by = { header = 'x-user' }\nhealth_check = { interval = '100ms', unhealthy_interval = '50ms', jitter = 0 }",
        &[("a", &upstreams[0], ""), ("b", &upstreams[1], ""), ("c", &upstreams[2], "")],
    );
    let balancer = Balancer::configured(&text);
    let spread = || -> HashMap<u32, String> {
        let mut client = Client::connect(balancer.address);
        (0..600)
            .map(|user| {
                client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX-User: user-{user}\r\n\r\n"));
                (user, client.answer().unwrap().text())
            })
            .collect()
    };
    let first = spread();
    assert_eq!(first, spread(), "the same key, the same backend");
    for name in ["a", "b", "c"] {
        let share = first.values().filter(|backend| *backend == name).count();
        assert!((120..=280).contains(&share), "{name} has {share} of 600");
    }
    upstreams[1].stop();
    balancer.wait_for_health("b", "backend is unhealthy");
    let without = spread();
    for (user, backend) in &first {
        let now = &without[user];
        assert!(if backend == "b" { now != "b" } else { now == backend }, "{user}");
    }
    upstreams[1].start();
    balancer.wait_for_health("b", "backend is healthy again");
    assert_eq!(first, spread(), "its keys come back");
}

#[test]
fn who_finds_all_backends_full_waits_and_is_sent_away_when_too_many_do() {
    let (slow, open) = Upstream::gated("slow");
    let balancer = Balancer::configured(&pool(
        "max_requests = 1\nqueue = { length = 1, timeout = '20s' }",
        &[("slow", &slow, "")],
    ));
    let address = balancer.address;
    let first = thread::spawn(move || get(address, "/first", &[]).status);
    slow.wait_for_requests(1);
    // Of two that come now, one has a place to wait and one has none.
    let (told, results) = channel();
    for _ in 0..2 {
        let told = told.clone();
        thread::spawn(move || told.send(get(address, "/", &[])));
    }
    let refused = results.recv().unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["reason"], "overloaded");
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(slow.received().len(), 1, "one at a time");
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert_eq!(first.join().unwrap(), 200);
    assert_eq!(results.recv().unwrap().status, 200, "who waited is served");
}

#[test]
fn who_waits_too_long_is_sent_away() {
    let (slow, open) = Upstream::gated("slow");
    let balancer = Balancer::configured(&pool(
        "max_requests = 1\nqueue = { length = 5, timeout = '100ms' }",
        &[("slow", &slow, "")],
    ));
    let address = balancer.address;
    let first = thread::spawn(move || get(address, "/first", &[]).status);
    slow.wait_for_requests(1);
    assert_eq!(get(address, "/", &[]).json()["error"]["reason"], "overloaded");
    open.send(()).unwrap();
    assert_eq!(first.join().unwrap(), 200);
}

#[test]
fn a_heavy_backend_that_is_down_leaves_the_others_even() {
    let mut upstreams = ["a", "b", "c"].map(Upstream::named);
    let balancer = Balancer::configured(&pool(
        "health_check = { interval = '100ms', unhealthy_interval = '10s', jitter = 0 }",
        &[("a", &upstreams[0], "weight = 5"), ("b", &upstreams[1], ""), ("c", &upstreams[2], "")],
    ));
    upstreams[0].stop();
    balancer.wait_for_health("a", "backend is unhealthy");
    let order: String = (0..8).map(|_| get(balancer.address, "/", &[]).text()).collect();
    assert!(["bcbcbcbc", "cbcbcbcb"].contains(&order.as_str()), "{order}");
}

#[test]
fn a_slow_backend_gets_fewer_requests_where_those_in_flight_are_counted() {
    let slow = Upstream::scripted(|_, stream| {
        thread::sleep(Duration::from_millis(30));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").is_ok()
    });
    let quick = ["one", "two"].map(Upstream::named);
    let balancer = Balancer::configured(&pool(
        "balance = 'least_requests'",
        &[("slow", &slow, ""), ("one", &quick[0], ""), ("two", &quick[1], "")],
    ));
    let address = balancer.address;
    let clients = [(); 8].map(|()| {
        thread::spawn(move || {
            let mut client = Client::connect(address);
            for _ in 0..50 {
                client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(client.answer().unwrap().status, 200);
            }
        })
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
    // In turn it would get 133 of 400.
    let share = slow.received().len();
    assert!(share < 100, "the slow one had {share} of 400");
    let [one, two] = quick.each_ref().map(|quick| quick.received().len());
    assert!(one.abs_diff(two) < 100, "{one} and {two}");
}

#[test]
fn one_that_has_come_back_begins_with_a_small_share_and_gets_its_own_in_the_end() {
    let shares = |slow_start: &str| {
        let mut upstreams = ["a", "b"].map(Upstream::named);
        let text = pool(
            &format!(
                "slow_start = '{slow_start}'\nhealth_check = {{ interval = '100ms', \
                 unhealthy_interval = '50ms', jitter = 0 }}"
            ),
            &[("a", &upstreams[0], ""), ("b", &upstreams[1], "")],
        );
        let balancer = Balancer::configured(&text);
        upstreams[1].stop();
        balancer.wait_for_health("b", "backend is unhealthy");
        upstreams[1].start();
        balancer.wait_for_health("b", "backend is healthy again");
        (upstreams, balancer)
    };
    let b_of = |balancer: &Balancer, many: usize| {
        (0..many).filter(|_| get(balancer.address, "/", &[]).text() == "b").count()
    };
    let (_upstreams, balancer) = shares("10m");
    let first = b_of(&balancer, 44);
    assert!((1..=8).contains(&first), "{first} of 44 at a tenth of its weight");
    let (_upstreams, balancer) = shares("200ms");
    let end = Instant::now() + Duration::from_secs(30);
    while b_of(&balancer, 20) != 10 {
        assert!(Instant::now() < end, "it never gets its share");
    }
}

#[test]
fn retries_end_with_their_budget() {
    let breaking = Upstream::scripted(|_, _| false);
    let alive = Upstream::named("alive");
    let balancer = Balancer::configured(&pool(
        "retries = { budget = 0, budget_floor = 0 }\ncircuit_breaker = { enabled = false }",
        &[("breaking", &breaking, ""), ("alive", &alive, "")],
    ));
    let mut failed = 0;
    for _ in 0..260 {
        let answer = get(balancer.address, "/", &[]);
        match answer.status {
            200 => assert_eq!(failed, 0, "what is spent does not come back"),
            502 => failed += 1,
            status => panic!("{status}"),
        }
        if failed > 0 {
            break;
        }
    }
    // A hundred are there at the beginning.
    assert_eq!((failed, breaking.received().len()), (1, 101));
    let answer = get(balancer.address, "/", &["Host: breaking"]);
    assert_eq!(answer.json()["error"]["reason"], "connection_broken");
}

#[test]
fn a_breaker_opens_when_too_large_a_share_fails() {
    let turn = AtomicU16::new(0);
    let bad = Upstream::scripted(move |_, stream| {
        let well = turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let status = if well { 200 } else { 503 };
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\nb").is_ok()
    });
    let good = Upstream::named("good");
    let balancer = Balancer::configured(&pool(
        "circuit_breaker = { consecutive_failures = 1000, failure_rate = 0.5, \
         minimum_requests = 10, window = '1m', open_for = '1m', statuses = [503] }",
        &[("bad", &bad, ""), ("good", &good, "")],
    ));
    let statuses: Vec<_> = (0..60).map(|_| get(balancer.address, "/", &[]).status).collect();
    // The window begins with the first failure: 5 of 9, then 5 of 10 and 6 of 11.
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 6, "{statuses:?}");
    assert_eq!(bad.received().len(), 12);
}

#[test]
fn a_backend_leaves_and_returns_after_so_many_checks_in_a_row() {
    // Two checks fail, which are too few, then three, then all succeed.
    let number = AtomicUsize::new(0);
    let checked = Upstream::scripted(move |_, stream| {
        let status = match number.fetch_add(1, Ordering::SeqCst) {
            1 | 2 | 4..7 => 500,
            _ => 200,
        };
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").is_ok()
    });
    let balancer = Balancer::configured(&pool(
        "health_check = { kind = 'http', interval = '20ms', unhealthy_interval = '20ms', \
         fall = 3, rise = 4 }",
        &[("checked", &checked, "")],
    ));
    balancer.wait_for_health("checked", "backend is unhealthy");
    assert!(checked.received().len() >= 7, "{}", checked.received().len());
    balancer.wait_for_health("checked", "backend is healthy again");
    assert!(checked.received().len() >= 11, "{}", checked.received().len());
    let left = balancer.stderr().iter().filter(|line| line.contains("is unhealthy")).count();
    assert_eq!(left, 1);
}

/// A backend whose status can be changed.
fn moody(status: &Arc<AtomicU16>) -> Upstream {
    let status = Arc::clone(status);
    Upstream::scripted(move |_, stream| {
        let status = status.load(Ordering::SeqCst);
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\nm").is_ok()
    })
}

#[test]
fn a_breaker_opens_lets_one_through_and_closes_again() {
    let status = Arc::new(AtomicU16::new(503));
    let (bad, good) = (moody(&status), Upstream::named("good"));
    // Long enough for a dozen requests on a machine that is busy.
    let balancer = Balancer::configured(&pool(
        "circuit_breaker = { consecutive_failures = 3, statuses = [503], open_for = '2s' }",
        &[("bad", &bad, ""), ("good", &good, "")],
    ));
    let breaker = |state: &str| {
        balancer.event(|event| {
            (event["target"] == "breaker" && event["message"].as_str()?.contains(state))
                .then_some(())
        })
    };
    let statuses: Vec<_> = (0..12).map(|_| get(balancer.address, "/", &[]).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 3, "{statuses:?}");
    assert_eq!(bad.received().len(), 3, "an open breaker lets nothing through");
    breaker("open");
    breaker("half-open");
    // The trial fails: one request more, and then none again.
    let statuses: Vec<_> = (0..6).map(|_| get(balancer.address, "/", &[]).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1, "{statuses:?}");
    assert_eq!(bad.received().len(), 4);
    status.store(200, Ordering::SeqCst);
    let begun = Instant::now();
    while bad.received().len() < 10 {
        assert_eq!(get(balancer.address, "/", &[]).status, 200);
        assert!(begun.elapsed() < Duration::from_secs(30), "it gets nothing");
    }
    breaker("closed");
}

#[test]
fn a_breaker_counts_no_404_and_never_ejects_more_than_its_share() {
    let status = Arc::new(AtomicU16::new(404));
    let only = moody(&status);
    let balancer = Balancer::configured(&pool(
        "circuit_breaker = { consecutive_failures = 1, statuses = [503] }",
        &[("only", &only, "")],
    ));
    for _ in 0..5 {
        assert_eq!(get(balancer.address, "/", &[]).status, 404);
    }
    status.store(503, Ordering::SeqCst);
    // Half of one is none: where nobody else is, the one that fails stays.
    for _ in 0..5 {
        assert_eq!(get(balancer.address, "/", &[]).text(), "m");
    }
    assert_eq!(only.received().len(), 10);
}

#[test]
fn a_breaker_keeps_nobody_out_where_the_checks_have_left_nobody_else() {
    for (max_ejected, expected) in [("0.5", 200), ("1.0", 503)] {
        let status = Arc::new(AtomicU16::new(503));
        let (ejected, mut other) = (moody(&status), Upstream::named("other"));
        let balancer = Balancer::configured(&pool(
            &left_alone(&format!("open_for = '1h', max_ejected = {max_ejected}")),
            &[("ejected", &ejected, ""), ("other", &other, "")],
        ));
        let statuses = [(); 6].map(|()| get(balancer.address, "/", &[]).status);
        assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1, "{statuses:?}");
        status.store(200, Ordering::SeqCst);
        other.stop();
        balancer.wait_for_health("other", "backend is unhealthy");
        assert_eq!(get(balancer.address, "/", &[]).status, expected, "{max_ejected}");
        assert_eq!(ejected.received().len(), 1 + usize::from(expected == 200));
    }
}

#[test]
fn a_request_that_all_others_refuse_is_not_kept_out_by_a_breaker() {
    for (max_ejected, expected) in [("0.5", 200), ("1.0", 502)] {
        let status = Arc::new(AtomicU16::new(503));
        let (ejected, mut other) = (moody(&status), Upstream::named("other"));
        // No check sees that the other one goes.
        let balancer = Balancer::configured(&pool(
            &format!(
                "circuit_breaker = {{ consecutive_failures = 1, statuses = [503], open_for = '1h', \
                 max_ejected = {max_ejected} }}\nhealth_check = {{ interval = '1h' }}"
            ),
            &[("ejected", &ejected, ""), ("other", &other, "")],
        ));
        let statuses = [(); 2].map(|()| get(balancer.address, "/", &[]).status);
        assert!(statuses.contains(&503), "{statuses:?}");
        status.store(200, Ordering::SeqCst);
        other.stop();
        assert_eq!(get(balancer.address, "/", &[]).status, expected, "{max_ejected}");
    }
}

/// A breaker that one failure opens, and checks that are quick to see who has gone.
fn left_alone(more: &str) -> String {
    format!(
        "circuit_breaker = {{ consecutive_failures = 1, statuses = [503], {more} }}\n\
         health_check = {{ interval = '50ms', unhealthy_interval = '50ms' }}"
    )
}

#[test]
fn a_trial_holds_up_nobody_where_nobody_else_is_left() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let number = AtomicUsize::new(0);
    let ejected = Upstream::scripted(move |_, stream| {
        let status = match number.fetch_add(1, Ordering::SeqCst) {
            0 => 503,
            // The trial.
            1 => gate.lock().unwrap().recv().map_or(500, |()| 200),
            _ => 200,
        };
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\nm").is_ok()
    });
    let mut other = Upstream::named("other");
    let balancer = Balancer::configured(&pool(
        &left_alone("open_for = '100ms'"),
        &[("ejected", &ejected, ""), ("other", &other, "")],
    ));
    let statuses = [(); 2].map(|()| get(balancer.address, "/", &[]).status);
    assert!(statuses.contains(&503), "{statuses:?}");
    other.stop();
    balancer.wait_for_health("other", "backend is unhealthy");
    balancer.event(|event| {
        let half_open = event["message"].as_str()?.contains("half-open");
        (event["target"] == "breaker" && half_open).then_some(())
    });
    let address = balancer.address;
    let trial = std::thread::spawn(move || get(address, "/", &[]).status);
    ejected.wait_for_requests(2);
    assert_eq!(get(address, "/", &[]).status, 200);
    open.send(()).unwrap();
    assert_eq!(trial.join().unwrap(), 200);
}

#[test]
fn a_backend_is_healthy_when_its_answer_says_so() {
    let status = Arc::new(AtomicU16::new(202));
    let (checked, other) = (moody(&status), Upstream::named("other"));
    let balancer = Balancer::configured(&pool(
        "health_check = { kind = 'http', path = '/healthz', host = 'check.test', status = [202], \
         interval = '30ms', unhealthy_interval = '30ms', fall = 2, rise = 2, jitter = 0 }",
        &[("checked", &checked, "")],
    ));
    drop(other);
    let first = &checked.received()[0];
    assert_eq!(first.line, "GET /healthz HTTP/1.1");
    assert_eq!(first.values("host"), ["check.test"]);
    assert_eq!(get(balancer.address, "/", &[]).status, 202);
    status.store(500, Ordering::SeqCst);
    let reason = balancer.event(|event| {
        (event["message"] == "backend is unhealthy").then(|| event["reason"].clone())
    });
    assert_eq!(reason, "answered 500");
    assert_eq!(get(balancer.address, "/", &[]).status, 503);
    status.store(202, Ordering::SeqCst);
    balancer.wait_for_health("checked", "backend is healthy again");
    assert_eq!(get(balancer.address, "/", &[]).status, 202);
}
