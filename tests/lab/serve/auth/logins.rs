//! Many logins at once hold nobody else up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::{basic, guarded};
use crate::support::{Client, Reloadable, Upstream, get, say};

/// One user, whose password takes 8 times as long to verify as the least.
fn start(upstream: &Upstream, settings: &str) -> Reloadable {
    let users = format!("ann:{}\n", bcrypt::hash("secret", 7).unwrap());
    Reloadable::start_with(&[("users", &users)], |folder| {
        let file = folder.join("users");
        let policy =
            format!("threads = 1\n[auth.who.basic]\nfile = '{}'\n{settings}\n", file.display());
        guarded(upstream, &policy)
    })
}

#[test]
fn other_requests_go_on_while_passwords_are_verified() {
    const LOGINS: usize = 50;
    let upstream = Upstream::named("app");
    let lab = start(&upstream, "max_wait = '10m'");
    let address = lab.balancer.address;
    let done = AtomicUsize::new(0);
    let mut waits = Vec::new();
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..LOGINS {
            let done = &done;
            scope.spawn(move || {
                // All are wrong, each in another way, so that none is remembered.
                let field = basic("ann", &format!("wrong {number}"));
                let status = get(address, "/x", &[&field]).status;
                done.fetch_add(1, Ordering::SeqCst);
                assert_eq!(status, 401);
            });
        }
        let mut client = Client::connect(address);
        while done.load(Ordering::SeqCst) < LOGINS {
            let asked = Instant::now();
            assert_eq!(client.get("/open", &[]).status, 200);
            waits.push(asked.elapsed());
            if waits.len() % 900 == 0 {
                client = Client::connect(address);
            }
        }
    });
    let all = begun.elapsed();
    waits.sort_unstable();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    say(&format!(
        "{LOGINS} logins in {all:?}; meanwhile {} other requests, median {median:?}, worst {worst:?}",
        waits.len()
    ));
    // On the one thread that serves requests, at most one could be answered for each login.
    assert!(waits.len() > 2 * LOGINS, "{}", waits.len());
    assert!(median < all / 100, "{median:?} of {all:?}");
}

#[test]
fn what_would_wait_too_long_is_told_to_come_back() {
    let upstream = Upstream::named("app");
    let lab = start(&upstream, "verifications = 1\nmax_wait = '1ms'");
    let address = lab.balancer.address;
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |number: usize| {
            scope.spawn(move || get(address, "/x", &[&basic("ann", &number.to_string())]))
        };
        let asked: Vec<_> = (0..8).map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty() && busy.len() < answers.len(), "{answers:?}");
    for answer in busy {
        assert_eq!(answer.json()["error"]["reason"], "auth_busy");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("www-authenticate"), None);
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn a_login_that_was_right_is_quick_the_next_time_and_a_wrong_one_is_not() {
    let upstream = Upstream::named("app");
    let lab = start(&upstream, "");
    let mut client = Client::connect(lab.balancer.address);
    let mut time = |name: &str, password: &str, status: u16| {
        let field = basic(name, password);
        let asked = Instant::now();
        assert_eq!(client.get("/x", &[&field]).status, status);
        asked.elapsed()
    };
    let first = time("ann", "secret", 200);
    // In turns and the quickest of each, since other tests run at the same time.
    let [again, wrong, unknown] = (0..8)
        .map(|_| {
            [time("ann", "secret", 200), time("ann", "wrong", 401), time("nobody", "secret", 401)]
        })
        .reduce(|a, b| std::array::from_fn(|kind| a[kind].min(b[kind])))
        .unwrap();
    say(&format!("first {first:?}, again {again:?}, wrong {wrong:?}, unknown user {unknown:?}"));
    assert!(again < first / 4, "{again:?} after {first:?}");
    assert!(wrong > again * 4, "{wrong:?}, {again:?}");
    assert!(unknown > wrong / 2, "{unknown:?}, {wrong:?}");
}
