//! Backends die and return at random, and no request that may be repeated fails.

use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::load::Load;
use super::{alone, length, measured};
use crate::support::{Balancer, Upstream};

/// How long before the others may die one has been there: the health check, which
/// runs every 100 ms here, has seen it.
const KNOWN: Duration = Duration::from_secs(1);

#[test]
fn while_one_backend_is_alive_no_idempotent_request_fails() {
    let _alone = alone();
    let seed = match std::env::var("PINGORA_LAB_SEED") {
        Ok(seed) => seed.parse().expect("PINGORA_LAB_SEED is a number"),
        Err(_) => rand::random(),
    };
    let mut random = StdRng::seed_from_u64(seed);
    let names = ["a", "b", "c"];
    let mut upstreams = names.map(Upstream::named);
    let backends: String = names
        .iter()
        .zip(&upstreams)
        .map(|(name, up)| {
            let address = up.address;
            format!("[[pool.backend]]\nname = '{name}'\naddress = '{address}'\n")
        })
        .collect();
    let balancer = Balancer::configured(&format!(
        "[[pool]]\nhealth_check = {{ interval = '100ms', unhealthy_interval = '100ms' }}\n{backends}"
    ));
    let kept = Load::of(balancer.address);
    let anew = Load { per_connection: 1, ..Load::of(balancer.address) };
    let put = Load {
        request: "PUT /it HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        ..Load::of(balancer.address)
    };
    let running = [kept.start(4), anew.start(2), put.start(2)];

    let end = Instant::now() + length();
    let mut alive = [Some(Instant::now() - KNOWN); 3];
    let mut changes = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(random.random_range(20..200)));
        let place = random.random_range(0..3);
        let others_bear = |alive: &[Option<Instant>; 3]| {
            let known = |since: &Option<Instant>| since.is_some_and(|s| s.elapsed() >= KNOWN);
            alive.iter().enumerate().any(|(other, since)| other != place && known(since))
        };
        if alive[place].is_none() {
            upstreams[place].start();
            alive[place] = Some(Instant::now());
        } else if others_bear(&alive) {
            upstreams[place].stop();
            alive[place] = None;
        } else {
            continue;
        }
        changes += 1;
    }
    let mut all = running.map(|running| running.end()).into_iter();
    let mut outcome = all.next().expect("some");
    all.for_each(|more| outcome.add(more));

    let run = "backends that die and return";
    measured(run, "deaths and returns", format!("{changes} (seed {seed})"), "-");
    let count = format!("{}, {}", outcome.answered, outcome.failed);
    measured(run, "idempotent requests, failed", count, "0 failed");
    measured(run, "p99", format!("{:.1?}", outcome.quantile(0.99)), "-");
    // PINGORA_LAB_SEED has the same deaths again, if not at the same moments.
    outcome.assert_none_failed();
}
