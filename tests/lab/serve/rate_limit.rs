//! How many requests of a client go through.

use std::thread;
use std::time::Duration;

use crate::support::{Answer, Balancer, Client, Reloadable, Upstream};

/// One pool, and these further tables.
fn config(upstream: &Upstream, tables: &str) -> String {
    let address = upstream.address;
    format!("{tables}\n[[pool]]\n[[pool.backend]]\nname = 'app'\naddress = '{address}'\n")
}

/// A route to the pool with these limits.
fn route(path: &str, limits: &str) -> String {
    format!("[[route]]\nprefix = '{path}'\npool = 'default'\nrate_limit = [{limits}]\n")
}

fn from(balancer: &Balancer, last: u8, path: &str, fields: &[&str]) -> Answer {
    Client::connect_from([127, 0, 0, last], balancer.address).get(path, fields)
}

/// How many of so many requests go through.
fn through(count: usize, mut ask: impl FnMut() -> Answer) -> usize {
    let statuses = std::iter::repeat_with(|| ask().status).take(count);
    statuses.filter(|status| *status == 200).count()
}

#[test]
fn a_burst_goes_through_to_the_request_and_no_other_client_feels_it() {
    let upstream = Upstream::named("app");
    let limit = "[rate_limit.five]\nrequests = 5\nper = '1h'\n";
    let text = config(&upstream, limit) + &route("/", "'five'");
    let balancer = Balancer::configured(&text);
    let mut client = Client::connect_from([127, 0, 0, 1], balancer.address);
    assert_eq!(through(5, || client.get("/", &[])), 5);
    // Over the same connection and over others, by whatever path.
    let refused = client.get("/x", &["X-Request-Id: too-many"]);
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["reason"], "rate_limited");
    // One each 12 minutes; the burst took a moment.
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((690..=720).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"five\";q=5;w=3600"));
    assert_eq!(refused.header("ratelimit"), Some(format!("\"five\";r=0;t={wait}").as_str()));
    assert_eq!(through(3, || client.get("/", &[])), 0);
    assert_eq!(through(3, || from(&balancer, 1, "/y", &[])), 0);
    assert_eq!(upstream.received().len(), 5);
    assert_eq!(through(7, || from(&balancer, 2, "/", &[])), 5);
    let line = balancer.access("too-many");
    assert_eq!((&line["status"], &line["reason"]), (&429.into(), &"rate_limited".into()));
}

#[test]
fn many_at_once_get_no_more_than_one_would() {
    let upstream = Upstream::named("app");
    let limit = "[rate_limit.r]\nrequests = 40\nper = '1h'\nburst = 37\n";
    let balancer = Balancer::configured(&(config(&upstream, limit) + &route("/", "'r'")));
    let asked = (0..8).map(|_| {
        let address = balancer.address;
        thread::spawn(move || {
            let mut client = Client::connect(address);
            through(20, || client.get("/", &[]))
        })
    });
    let asked: Vec<_> = asked.collect();
    let through: usize = asked.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((through, upstream.received().len()), (37, 37));
}

#[test]
fn whoever_waits_as_long_as_it_is_told_goes_through() {
    let upstream = Upstream::named("app");
    let limit = "[rate_limit.slow]\nrequests = 1\nper = '900ms'\n";
    let balancer = Balancer::configured(&(config(&upstream, limit) + &route("/", "'slow'")));
    let mut client = Client::connect(balancer.address);
    for _ in 0..2 {
        assert_eq!(client.get("/", &[]).status, 200);
        // The second, unless the first took as long as another needs to be allowed.
        let mut answers = std::iter::repeat_with(|| client.get("/", &[])).take(20);
        let refused = answers.find(|answer| answer.status != 200);
        let refused = refused.expect("one is too many");
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(client.get("/", &[]).status, 200);
}

#[test]
fn nobody_is_another_client_by_saying_so_but_a_trusted_proxy() {
    let upstream = Upstream::named("app");
    let limit = "trusted_proxies = ['127.0.0.10']\n[rate_limit.two]\nrequests = 2\nper = '1h'\n";
    let balancer = Balancer::configured(&(config(&upstream, limit) + &route("/", "'two'")));
    let mut number = 0;
    let mut spoof = |last: u8, before: &str, after: &str| {
        number += 1;
        let field = format!("X-Forwarded-For: {before}{number}{after}");
        from(&balancer, last, "/", &[&field])
    };
    assert_eq!(through(6, || spoof(1, "203.0.113.", "")), 2);
    assert_eq!(through(6, || spoof(10, "203.0.113.", "")), 6);
    // What the client wrote itself stands before what the proxy wrote.
    assert_eq!(through(6, || spoof(10, "203.0.113.", ", 198.51.100.1")), 2);
    // All addresses of a network of 64 bits are one client's.
    assert_eq!(through(6, || spoof(10, "2001:db8:0:1::", "")), 2);
    assert_eq!(through(6, || spoof(10, "2001:db8:0:", "::1")), 6);
}

#[test]
fn clients_are_told_apart_by_a_field_where_they_send_it() {
    let upstream = Upstream::named("app");
    let limit = "[rate_limit.key]\nrequests = 3\nper = '1h'\nby = { header = 'x-api-key' }\n";
    let balancer = Balancer::configured(&(config(&upstream, limit) + &route("/", "'key'")));
    for key in ["X-Api-Key: ann", "x-api-key: bob"] {
        assert_eq!(through(5, || from(&balancer, 1, "/", &[key])), 3, "{key}");
        assert_eq!(through(5, || from(&balancer, 2, "/", &[key])), 0, "{key}");
    }
    assert_eq!(through(5, || from(&balancer, 1, "/", &[])), 3);
    assert_eq!(through(5, || from(&balancer, 2, "/", &[])), 3);
    let huge = format!("X-Api-Key: {}", "k".repeat(20_000));
    assert_eq!(through(5, || from(&balancer, 1, "/", &[&huge])), 3);
}

#[test]
fn all_limits_of_a_route_must_have_room_and_what_one_refuses_the_others_do_not_count() {
    let upstream = Upstream::named("app");
    let limits = "[rate_limit.short]\nrequests = 3\nper = '2h'\n
        [rate_limit.long]\nrequests = 5\nper = '1h'\n";
    let text = config(&upstream, limits)
        + &route("/both", "'long', 'short'")
        + &route("/turned", "'short', 'long'")
        + &route("/long", "'long'")
        + &route("/none", "");
    let balancer = Balancer::configured(&text);
    let mut client = Client::connect(balancer.address);
    assert_eq!(through(10, || client.get("/both", &[])), 3);
    assert_eq!(through(10, || client.get("/turned", &[])), 0);
    assert_eq!(through(10, || client.get("/long", &[])), 2);
    // Now both are full: the wait is that for the later one.
    let refused = client.get("/both", &[]);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"short\";q=3;w=7200"));
    assert_eq!(refused.count("retry-after"), 1);
    assert_eq!(through(10, || client.get("/none", &[])), 10);
}

#[test]
fn fields_are_told_where_they_are_wanted() {
    let upstream = Upstream::named("app");
    let limits = "[rate_limit.all]\nrequests = 2\nper = '20m'\nfields = 'all'\n
        [rate_limit.none]\nrequests = 1\nper = '1h'\nfields = 'none'\n";
    let fixed = "[[route]]\npath = '/fixed'\nanswer = { body = 'x' }\nrate_limit = ['all']\n";
    let text =
        config(&upstream, limits) + fixed + &route("/all", "'all'") + &route("/none", "'none'");
    let balancer = Balancer::configured(&text);
    let mut client = Client::connect(balancer.address);
    let first = client.get("/all", &[]);
    assert_eq!(first.header("ratelimit-policy"), Some("\"all\";q=2;w=1200"));
    assert_eq!(first.header("ratelimit"), Some("\"all\";r=1;t=600"));
    assert_eq!(first.header("retry-after"), None);
    let second = client.get("/fixed", &[]);
    assert_eq!(second.status, 200);
    let state = second.header("ratelimit").unwrap();
    assert!(state.starts_with("\"all\";r=0;t=1"), "{state}");
    assert_eq!(client.get("/fixed", &[]).status, 429);
    let quiet = client.get("/none", &[]);
    assert_eq!(
        (quiet.status, quiet.header("ratelimit"), quiet.header("ratelimit-policy")),
        (200, None, None)
    );
    let refused = client.get("/none", &[]);
    assert_eq!((refused.status, refused.header("ratelimit")), (429, None));
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn a_refused_upload_is_answered_at_once_and_reaches_no_backend() {
    let upstream = Upstream::named("app");
    let limit = "[rate_limit.one]\nrequests = 1\nper = '1h'\n";
    let balancer = Balancer::configured(&(config(&upstream, limit) + &route("/", "'one'")));
    let mut client = Client::connect(balancer.address);
    assert_eq!(client.get("/", &[]).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbeginning");
    assert_eq!(client.answer().expect("an answer").status, 429);
    assert!(client.is_closed());
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn counts_outlive_a_reload_that_leaves_the_limit_as_it_is() {
    let upstream = Upstream::named("app");
    let text = |version: u32, requests: u32| {
        let limit = format!("[rate_limit.r]\nrequests = {requests}\nper = '1h'\n");
        let version = format!("[[route]]\npath = '/version'\nanswer = {{ body = '{version}' }}\n");
        config(&upstream, &limit) + &version + &route("/", "'r'")
    };
    let lab = Reloadable::start(&text(1, 3));
    let mut client = Client::connect(lab.balancer.address);
    assert_eq!(through(2, || client.get("/", &[])), 2);
    lab.write(&text(2, 3));
    lab.wait_for_body("/version", "2");
    assert_eq!(through(3, || client.get("/", &[])), 1);
    // Another limit begins anew.
    lab.write(&text(3, 4));
    lab.wait_for_body("/version", "3");
    assert_eq!(through(6, || client.get("/", &[])), 4);
}

#[test]
fn whoever_is_known_is_counted_by_name_and_guesses_are_counted_by_address() {
    let upstream = Upstream::named("app");
    let tables = "[auth.who.api_key]
        keys = { ann = 'ann-0123456789abcdef', bob = 'bob-0123456789abcdef' }
        [rate_limit.user]\nrequests = 2\nper = '1h'\nby = 'identity'
        [rate_limit.address]\nrequests = 8\nper = '1h'\n";
    let route = "[[route]]\npool = 'default'\nauth = 'who'\nrate_limit = ['user', 'address']\n";
    let balancer = Balancer::configured(&(config(&upstream, tables) + route));
    let (ann, bob) = ("X-Api-Key: ann-0123456789abcdef", "X-Api-Key: bob-0123456789abcdef");
    assert_eq!(through(3, || from(&balancer, 1, "/", &[ann])), 2);
    assert_eq!(from(&balancer, 2, "/", &[ann]).status, 429);
    assert_eq!(through(2, || from(&balancer, 2, "/", &[bob])), 2);
    // Address 3 guesses until it may not, and uses up nobody's count but its own.
    let guess = "X-Api-Key: eve-0123456789abcdef";
    let statuses: Vec<_> = (0..9).map(|_| from(&balancer, 3, "/", &[guess]).status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 429]);
    assert_eq!(upstream.received().len(), 4);
}
