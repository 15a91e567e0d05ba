//! What is counted, beside what was sent.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::certificates::Authority;
use crate::support::{Balancer, Client, Metrics, Upstream, get};

const ADMIN: &str = "[admin]\naddress = '127.0.0.1:0'\n";
const REQUESTS: &str = "pingora_lab_requests_total";
const FAILURES: &str = "pingora_lab_request_failures_total";

/// Sends a request and waits until it has been logged, which is after it is counted.
/// Returns its status and the attempts that the log tells.
fn counted(balancer: &Balancer, id: &str, request: &str) -> (u16, u64) {
    let mut client = Client::connect(balancer.address);
    client.send(format!("{request}\r\nX-Request-Id: {id}\r\n\r\n"));
    let status = client.answer().expect("an answer").status;
    (status, balancer.access(id)["attempts"].as_u64().expect("a number"))
}

#[test]
fn every_request_is_counted_once_whatever_became_of_it() {
    let (mut a, b) = (Upstream::named("a"), Upstream::named("b"));
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[[pool]]\nname = 'web'\nhealth_check = {{ interval = '1h' }}\n\
         [[pool.backend]]\nname = 'a'\naddress = '{}'\n\
         [[pool.backend]]\nname = 'b'\naddress = '{}'\n\
         [[route]]\nname = 'web'\nprefix = '/web'\npool = 'web'\n\
         [[route]]\nname = 'hello'\nprefix = '/hello'\nanswer = {{ body = 'hello' }}\n",
        a.address, b.address
    ));
    let admin = balancer.admin();
    for number in 0..6 {
        let request = "GET /web HTTP/1.1\r\nHost: x";
        assert_eq!(counted(&balancer, &format!("g{number}"), request), (200, 1));
    }
    counted(&balancer, "post", "POST /web HTTP/1.1\r\nHost: x\r\nContent-Length: 0");
    counted(&balancer, "hello", "GET /hello HTTP/1.1\r\nHost: x");
    counted(&balancer, "nowhere", "GET /nowhere HTTP/1.1\r\nHost: x");
    counted(&balancer, "no-host", "GET /web HTTP/1.1\r\nHost: a b");
    // One dies. Whatever goes to it first is sent to the other.
    a.stop();
    let mut attempts = 0;
    for number in 0..4 {
        let request = "GET /web HTTP/1.1\r\nHost: x";
        let (status, tries) = counted(&balancer, &format!("d{number}"), request);
        assert_eq!(status, 200);
        attempts += tries;
    }
    let metrics = admin.ended(14);
    let web = |labels: &[&str]| metrics.sum(REQUESTS, &[&["route=\"web\""], labels].concat());
    assert_eq!(web(&["status=\"2xx\""]), 11.0, "{metrics:#?}");
    assert_eq!(web(&["method=\"POST\""]), 1.0);
    assert_eq!(web(&["backend=\"a\""]), a.received().len() as f64);
    assert_eq!(web(&["backend=\"b\""]), b.received().len() as f64);
    assert_eq!(metrics.sum(REQUESTS, &["route=\"hello\"", "backend=\"-\"", "status=\"2xx\""]), 1.0);
    assert_eq!(metrics.sum(REQUESTS, &["route=\"-\"", "status=\"4xx\""]), 2.0);
    assert_eq!(metrics.sum(REQUESTS, &[]), 14.0, "as many as were sent");
    assert_eq!(metrics.sum(FAILURES, &["reason=\"no_route\""]), 1.0);
    assert_eq!(metrics.sum(FAILURES, &["reason=\"invalid_host\""]), 1.0);
    assert_eq!(metrics.sum(FAILURES, &[]), 2.0, "a retry that helped is no failure");
    assert_eq!(metrics.sum("pingora_lab_request_duration_seconds_count", &[]), 14.0);
    // Seven and four requests were answered by a backend, with some tries more.
    let retries = (attempts - 4) as f64;
    assert!(retries >= 1.0);
    assert_eq!(
        metrics.sum("pingora_lab_retries_total", &["backend=\"a\"", "cause=\"connect\""])
            + metrics.sum("pingora_lab_retries_total", &["cause=\"stale\""]),
        retries
    );
    assert_eq!(metrics.sum("pingora_lab_upstream_first_byte_seconds_count", &[]), 11.0);
    let connections = |kind| metrics.sum("pingora_lab_upstream_connections_total", &[kind]);
    assert!(connections("kind=\"new\"") >= 2.0 && connections("kind=\"reused\"") >= 5.0);
    assert_eq!(metrics.sum("pingora_lab_requests_in_flight", &[]), 0.0);
    assert!(metrics.sum("pingora_lab_client_connections_accepted_total", &[]) >= 14.0);
    assert!(metrics.sum("process_open_fds", &[]) > 3.0);
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(admin.status()["routes"][0]["requests"], 11);
}

#[test]
fn what_the_proxy_answers_for_want_of_a_backend_is_counted_with_its_reason() {
    let (dead, breaking) = (Upstream::dead(), Upstream::scripted(|_, _| false));
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[[pool]]\nname = 'dead'\n[[pool.backend]]\nname = 'd'\naddress = '{dead}'\n\
         [[pool]]\nname = 'breaking'\ncircuit_breaker = {{ enabled = false }}\n\
         [[pool.backend]]\nname = 'b'\naddress = '{}'\n\
         [[route]]\nname = 'dead'\nprefix = '/dead'\npool = 'dead'\n\
         [[route]]\nname = 'breaking'\npool = 'breaking'\n",
        breaking.address
    ));
    let admin = balancer.admin();
    assert_eq!(counted(&balancer, "1", "GET /dead HTTP/1.1\r\nHost: x"), (503, 0));
    assert_eq!(counted(&balancer, "2", "GET /x HTTP/1.1\r\nHost: x"), (502, 1));
    // Nobody waits for this answer.
    let mut gone = Client::connect(balancer.address);
    gone.send("POST /x HTTP/1.1\r\nHost: x\r\nX-Request-Id: 3\r\nContent-Length: 5\r\n\r\nab");
    drop(gone);
    balancer.access("3");
    let metrics = admin.metrics();
    let failed = |route: &str, reason: &str| {
        let (route, reason) = (format!("route=\"{route}\""), format!("reason=\"{reason}\""));
        metrics.sum(FAILURES, &[&route, &reason])
    };
    assert_eq!(failed("dead", "no_healthy_backend"), 1.0, "{metrics:#?}");
    assert_eq!(failed("breaking", "connection_broken"), 1.0);
    assert_eq!(failed("breaking", "client_closed"), 1.0);
    assert_eq!(metrics.sum(REQUESTS, &["route=\"dead\"", "backend=\"-\"", "status=\"5xx\""]), 1.0);
    assert_eq!(metrics.sum(REQUESTS, &["backend=\"b\"", "status=\"5xx\""]), 1.0);
    let tries = "pingora_lab_upstream_failures_total";
    assert_eq!(metrics.sum(tries, &["backend=\"b\"", "reason=\"connection_broken\""]), 1.0);
    assert_eq!(metrics.sum("pingora_lab_ready", &[]), 0.0);
}

#[test]
fn nothing_that_a_client_sends_becomes_a_label() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--admin", "127.0.0.1:0"]);
    let admin = balancer.admin();
    counted(&balancer, "one", "GET / HTTP/1.1\r\nHost: x");
    counted(&balancer, "other", "BREW / HTTP/1.1\r\nHost: x");
    counted(&balancer, "bad", "GET / HTTP/1.1\r\nHost: a b");
    let before = admin.metrics();
    let mut client = Client::connect(balancer.address);
    for number in 0..200 {
        let chance: u64 = rand::random();
        client.send(format!(
            "M{chance:X} /{chance}/{number}?{chance} HTTP/1.1\r\nHost: h{chance}.test\r\n\
             X-Request-Id: {number}\r\nUser-Agent: {chance}\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    balancer.access("199");
    let after = admin.metrics();
    assert!(before.series.keys().eq(after.series.keys()), "{before:#?}\n{after:#?}");
    assert_eq!(after.sum(REQUESTS, &["method=\"other\""]), 201.0);
}

#[test]
fn health_and_breakers_are_shown_as_they_are() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let moody = Upstream::scripted(move |_, stream| {
        let status = if fails.load(Ordering::SeqCst) { "503 No" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\nm");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let mut other = Upstream::named("other");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[[pool]]\nname = 'web'\n\
         health_check = {{ interval = '100ms', unhealthy_interval = '100ms' }}\n\
         circuit_breaker = {{ consecutive_failures = 2, statuses = [503], open_for = '1h' }}\n\
         [[pool.backend]]\nname = 'moody'\naddress = '{}'\nweight = 3\n\
         [[pool.backend]]\nname = 'other'\naddress = '{}'\n",
        moody.address, other.address
    ));
    let admin = balancer.admin();
    let healthy = |metrics: &Metrics, name: &str| {
        metrics.sum("pingora_lab_backend_healthy", &[&format!("backend=\"{name}\"")])
    };
    let breaker = |metrics: &Metrics, state: &str| {
        let labels = ["backend=\"moody\"", &format!("state=\"{state}\"")];
        metrics.sum("pingora_lab_backend_breaker_state", &labels)
    };
    let metrics = admin.metrics();
    assert_eq!((healthy(&metrics, "moody"), healthy(&metrics, "other")), (1.0, 1.0));
    assert_eq!((breaker(&metrics, "closed"), breaker(&metrics, "open")), (1.0, 0.0));
    assert_eq!(metrics.sum("pingora_lab_backend_weight", &["backend=\"moody\""]), 3.0);
    let address = format!("address=\"{}\"", other.address);
    assert!(metrics.has("pingora_lab_backend_healthy", &["pool=\"web\"", &address]));

    other.stop();
    balancer.wait_for_health("other", "backend is unhealthy");
    let metrics = admin.metrics();
    assert_eq!((healthy(&metrics, "moody"), healthy(&metrics, "other")), (1.0, 0.0));
    let status = admin.status();
    let at = &status["pools"][0]["backends"][1]["addresses"][0];
    assert_eq!((&at["healthy"], &at["last_error"]), (&false.into(), &"connection refused".into()));
    other.start();
    balancer.wait_for_health("other", "backend is healthy again");
    assert_eq!(healthy(&admin.metrics(), "other"), 1.0);
    let at = &admin.status()["pools"][0]["backends"][1]["addresses"][0];
    assert!(at["last_error"].is_null(), "{at}");

    failing.store(true, Ordering::SeqCst);
    while get(balancer.address, "/", &["Host: moody"]).text() == "m" {}
    let metrics = admin.metrics();
    assert_eq!((breaker(&metrics, "closed"), breaker(&metrics, "open")), (0.0, 1.0));
    assert_eq!(metrics.sum("pingora_lab_ejections_total", &["backend=\"moody\""]), 1.0);
    assert_eq!(healthy(&metrics, "moody"), 1.0, "a breaker is no health check");
}

#[test]
fn what_runs_now_is_shown_as_running() {
    let (slow, open) = Upstream::gated("slow");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[[pool]]\nname = 'web'\nmax_requests = 1\n\
         [[pool.backend]]\nname = 'slow'\naddress = '{}'\n",
        slow.address
    ));
    let admin = balancer.admin();
    let mut clients = [0, 1].map(|_| Client::connect(balancer.address));
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let queued = |metrics: &Metrics| metrics.sum("pingora_lab_pool_queue_length", &[]) == 1.0;
    let metrics = admin.until("one waits for the other", queued);
    assert_eq!(metrics.sum("pingora_lab_requests_in_flight", &[]), 2.0);
    assert_eq!(metrics.sum("pingora_lab_backend_requests_in_flight", &[]), 1.0);
    assert_eq!(metrics.sum("pingora_lab_client_connections_open", &[]), 2.0);
    assert_eq!(metrics.sum(REQUESTS, &[]), 0.0, "nothing has ended");
    // Whichever of them came first.
    open.send(()).unwrap();
    open.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    drop(clients);
    admin.until("all has ended", |metrics| {
        metrics.sum(REQUESTS, &[]) == 2.0
            && metrics.sum("pingora_lab_requests_in_flight", &[]) == 0.0
            && metrics.sum("pingora_lab_client_connections_open", &[]) == 0.0
    });
}

#[test]
fn connections_that_are_not_let_in_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("authority").issue(&["a.test"]).write(folder.path(), "a");
    let upstream = Upstream::named("a");
    let file = folder.path().join("lab.toml");
    let text = format!(
        "{ADMIN}[limits]\nconnections_per_address = 1\n\
         [[listener]]\naddress = '127.0.0.1:0'\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\ncertificates = [{}]\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        files.toml(),
        upstream.address
    );
    std::fs::write(&file, text).unwrap();
    let (balancer, addresses) = Balancer::listening(&file);
    let admin = balancer.admin();
    let mut plain = TcpStream::connect(addresses[1]).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    admin.until("a handshake has failed", |metrics| {
        metrics.sum("pingora_lab_tls_handshakes_failed_total", &["reason=\"failed\""]) == 1.0
            && metrics.sum("pingora_lab_client_connections_open", &[]) == 0.0
    });
    let _held = Client::connect(addresses[0]);
    admin.until("one is let in", |metrics| {
        metrics.sum("pingora_lab_client_connections_open", &[]) == 1.0
    });
    assert_eq!(get(addresses[0], "/", &[]).status, 503);
    let metrics = admin.metrics();
    let refused = "pingora_lab_client_connections_refused_total";
    assert_eq!(metrics.sum(refused, &["reason=\"address\""]), 1.0);
    assert_eq!(metrics.sum(refused, &["reason=\"total\""]), 0.0);
    assert_eq!(metrics.sum("pingora_lab_client_connections_accepted_total", &[]), 2.0);
}

#[test]
fn names_that_stay_go_on_counting_and_those_that_are_gone_disappear() {
    let (a, b, c) = (Upstream::named("a"), Upstream::named("b"), Upstream::named("c"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let text = |backends: &[(&str, &Upstream)], more: &str| {
        let backend = |(name, upstream): &(&str, &Upstream)| {
            format!("[[pool.backend]]\nname = '{name}'\naddress = '{}'\n", upstream.address)
        };
        let backends: String = backends.iter().map(backend).collect();
        format!("{ADMIN}[[pool]]\nname = 'web'\n{more}\n{backends}")
    };
    std::fs::write(&file, text(&[("a", &a), ("b", &b)], "")).unwrap();
    let balancer = Balancer::start(&["--config", file.to_str().unwrap()]);
    let admin = balancer.admin();
    for name in ["a", "b"] {
        counted(&balancer, name, &format!("GET / HTTP/1.1\r\nHost: {name}"));
    }
    // The pool is another one now, and its backends stand in another order.
    std::fs::write(&file, text(&[("c", &c), ("b", &b)], "max_requests = 9")).unwrap();
    assert_eq!(admin.post("/reload").status, 200);
    counted(&balancer, "again", "GET / HTTP/1.1\r\nHost: b");
    let metrics = admin.until("a is gone", |m| !m.has(REQUESTS, &["backend=\"a\""]));
    assert_eq!(metrics.sum(REQUESTS, &["backend=\"b\""]), 2.0, "{metrics:#?}");
    let first_byte = "pingora_lab_upstream_first_byte_seconds_count";
    assert_eq!(metrics.sum(first_byte, &["backend=\"b\""]), 2.0);
    assert!(
        !metrics.has(first_byte, &["backend=\"a\""]) && metrics.has(first_byte, &["backend=\"c\""])
    );
    assert_eq!(
        metrics.sum("pingora_lab_request_duration_seconds_count", &["route=\"default\""]),
        3.0
    );
}

#[test]
fn metrics_are_not_on_the_public_port_and_can_be_off() {
    let upstream = Upstream::named("backend");
    let text = |metrics: &str| {
        let address = upstream.address;
        format!("{ADMIN}{metrics}[[pool]]\n[[pool.backend]]\naddress = '{address}'\n")
    };
    let balancer = Balancer::configured(&text(""));
    for path in ["/metrics", "/status", "/healthz", "/reload"] {
        assert_eq!(get(balancer.address, path, &[]).text(), "backend", "{path}");
    }
    drop(balancer);
    let balancer = Balancer::configured(&text("[metrics]\nenabled = false\n"));
    let answer = balancer.admin().get("/metrics");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["reason"], "metrics_off");
    assert_eq!(get(balancer.address, "/", &[]).text(), "backend");
    assert!(balancer.admin().status()["routes"][0]["requests"].is_null());
}

#[test]
fn the_document_names_all_that_is_shown() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--admin", "127.0.0.1:0"]);
    let metrics = balancer.admin().metrics();
    let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operation.md");
    let document = std::fs::read_to_string(document).unwrap();
    for (name, kind) in &metrics.kinds {
        let row = format!("| `{name}` | {kind} |");
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn what_rate_limits_decide_is_counted_by_their_names() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[rate_limit.few]\nrequests = 3\nper = '1h'\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n\
         [[route]]\npool = 'default'\nrate_limit = ['few']\n",
        upstream.address
    ));
    let statuses: Vec<_> = (0..5).map(|_| get(balancer.address, "/", &[]).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let metrics = balancer.admin().ended(5);
    let decisions = |decision: &str| {
        let labels = ["policy=\"few\"", &format!("decision=\"{decision}\"")];
        metrics.sum("pingora_lab_rate_limit_decisions_total", &labels)
    };
    assert_eq!((decisions("allowed"), decisions("limited")), (3.0, 2.0));
    assert_eq!(metrics.sum(FAILURES, &["reason=\"rate_limited\""]), 2.0);
}

#[test]
fn what_never_became_a_request_is_counted_apart() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[limits]\nheader_timeout = '300ms'\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        upstream.address
    ));
    let admin = balancer.admin();
    let mut slow = Client::connect(balancer.address);
    slow.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    assert_eq!(slow.answer().expect("an answer").status, 408);
    let unread = "pingora_lab_unread_requests_total";
    let metrics = admin.until("it is counted", |m| m.sum(unread, &[]) == 1.0);
    assert_eq!(metrics.sum(unread, &["reason=\"client_timeout\""]), 1.0);
    assert_eq!(metrics.sum(REQUESTS, &[]), 0.0);
}

#[test]
fn how_it_goes_with_credentials_is_counted_by_policy() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[auth.who.api_key]\nkeys = {{ build = 'a key of build, long' }}\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n\
         [[route]]\npool = 'default'\nauth = 'who'\n",
        upstream.address
    ));
    let key = |key: &str| get(balancer.address, "/", &[&format!("X-Api-Key: {key}")]).status;
    assert_eq!([key("a key of build, long"), key("another"), key("a third")], [200, 401, 401]);
    assert_eq!(get(balancer.address, "/", &[]).status, 401);
    let metrics = balancer.admin().ended(4);
    let results = |result: &str| {
        let labels = ["policy=\"who\"", &format!("result=\"{result}\"")];
        metrics.sum("pingora_lab_auth_results_total", &labels)
    };
    assert_eq!((results("accepted"), results("wrong"), results("no_credential")), (1.0, 2.0, 1.0));
}

#[test]
fn what_access_lists_decide_is_counted_by_their_names() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::configured(&format!(
        "{ADMIN}[access.office]\ndeny = ['127.0.0.2']\n[access.idle]\nallow = ['127.0.0.1']\n\
         [access.all]\ndeny = ['192.0.2.1']\n\
         [[pool]]\n[[pool.backend]]\naddress = '{}'\n\
         [[route]]\npool = 'default'\naccess = ['office', 'all']\n",
        upstream.address
    ));
    let ask = |source: [u8; 4]| {
        let mut client = Client::connect_from(source, balancer.address);
        client.get("/", &[]).status
    };
    let statuses = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 2], [127, 0, 0, 3]].map(ask);
    assert_eq!(statuses, [200, 403, 403, 200]);
    let metrics = balancer.admin().ended(4);
    let decisions = |policy: &str, decision: &str| {
        let labels = [&format!("policy=\"{policy}\""), &*format!("decision=\"{decision}\"")];
        metrics.sum("pingora_lab_access_decisions_total", &labels)
    };
    assert_eq!((decisions("office", "allowed"), decisions("office", "refused")), (2.0, 2.0));
    // The first list that refuses decides.
    assert_eq!((decisions("all", "allowed"), decisions("all", "refused")), (2.0, 0.0));
    assert_eq!((decisions("idle", "allowed"), decisions("idle", "refused")), (0.0, 0.0));
    assert_eq!(metrics.sum(FAILURES, &["reason=\"forbidden\""]), 2.0);
}
