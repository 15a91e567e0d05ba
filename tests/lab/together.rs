//! The first run of a newcomer: `serve` with its lab backends, then `probe`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Balancer, Program};

fn probe(balancer: &Balancer, flags: &[&str]) -> (i32, Value) {
    let url = format!("http://{}/", balancer.address);
    let (code, stdout, stderr) =
        Program::run([&["probe", &url, "--format", "json"], flags].concat());
    let report =
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}\n{stdout}\n{stderr}"));
    (code, report)
}

fn names(headers: &Value) -> BTreeSet<&str> {
    let headers = headers.as_array().expect("a list");
    headers.iter().map(|header| header["name"].as_str().expect("a name")).collect()
}

#[test]
fn the_probe_shows_what_the_load_balancer_did() {
    let balancer = Balancer::start(&[]);
    let (code, report) = probe(&balancer, &["--count", "6"]);
    assert_eq!(code, 0, "{report:#}");
    let summary = &report["summary"];
    assert_eq!(summary["sent"], 6);
    assert_eq!((&summary["succeeded"], &summary["failed"]), (&json!(6), &json!(0)));
    assert_eq!(
        summary["by_backend"],
        json!({"httpbin.org": 2, "example.com": 2, "jsonplaceholder.typicode.com": 2})
    );
    assert_eq!(summary["by_status"], json!({"200": 6}));
    for request in report["requests"].as_array().expect("the requests") {
        assert_eq!(request["error"], Value::Null);
        assert_eq!(
            names(&request["request_headers_added"]),
            BTreeSet::from([
                "x-proxy-added",
                "x-forwarded-by",
                "x-request-id",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "traceparent",
            ])
        );
        let host = &request["request_headers_changed"];
        assert_eq!(host[0]["name"], "host");
        assert_eq!(host[0]["to"], request["backend"], "its own name is what a backend sees");
        let added = &request["response_headers_added"];
        let added = names(added);
        assert!(
            ["x-proxy", "x-load-balancer", "x-served-by"].iter().all(|name| added.contains(name)),
            "{added:?}"
        );
        assert_eq!(request["response_headers_removed"], json!(["server"]));
    }
}

#[test]
fn a_host_reaches_its_backend_and_a_load_is_spread_evenly() {
    let balancer = Balancer::start(&[]);
    let (_, one) = probe(&balancer, &["--count", "4", "--host", "example.com"]);
    assert_eq!(one["summary"]["by_backend"], json!({"example.com": 4}));
    let (code, load) = probe(&balancer, &["--count", "300", "--concurrency", "50"]);
    assert_eq!(code, 0);
    let shares = load["summary"]["by_backend"].as_object().expect("shares");
    let counts: Vec<_> = shares.values().map(|count| count.as_u64().expect("a count")).collect();
    assert_eq!(counts.iter().sum::<u64>(), 300);
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
}

#[test]
fn what_is_not_known_is_null_and_not_empty() {
    // The proxy's own 503: no backend saw the request.
    let dead = crate::support::Upstream::dead().to_string();
    let balancer = Balancer::over(&[dead], &[]);
    let (code, report) = probe(&balancer, &["--count", "1"]);
    assert_eq!(code, 0, "an answer is an answer");
    let request = &report["requests"][0];
    assert_eq!((&request["status"], &request["backend"]), (&json!(503), &Value::Null));
    for unknown in ["request_headers_added", "response_headers_added", "response_headers_removed"] {
        assert_eq!(request[unknown], Value::Null, "{unknown}");
    }
}
