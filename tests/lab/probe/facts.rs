//! What the probe says about an answer, and who told it.

use serde_json::{Value, json};

use super::origin::{Origin, Received, proxied, report, response, unproxied};
use super::{json, only, probe};

fn one(origin: &Origin, args: &[&str]) -> Value {
    let (code, document) = json(&[&["--count", "1", &origin.url("/")], args].concat());
    assert_eq!(code, 0, "{document:#}");
    only(&document).clone()
}

fn plain(headers: &'static [(&str, &str)], body: &'static str) -> Origin {
    Origin::answering(move |_| response("200 OK", headers, body))
}

#[test]
fn the_json_document_is_the_contract() {
    let origin = Origin::answering(|request| proxied("httpbin.org", request));
    let (code, document) = json(&["--count", "2", &origin.url("/get?x=1")]);
    assert_eq!(code, 0);
    assert_eq!(document["target"], origin.url("/get?x=1"));

    let summary = &document["summary"];
    assert_eq!(summary["sent"], 2);
    assert_eq!(summary["succeeded"], 2);
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["by_backend"], json!({"httpbin.org": 2}));
    assert_eq!(summary["by_status"], json!({"200": 2}));
    let latency = |key: &str| summary["latency_ms"][key].as_f64().expect("a number");
    assert!(latency("p50") > 0.0);
    assert!(latency("p50") <= latency("p90") && latency("p90") <= latency("p99"));
    assert!(latency("p99") <= latency("max"));

    let requests = document["requests"].as_array().expect("a list");
    assert_eq!(requests.len(), 2);
    for (request, number) in requests.iter().zip(1..) {
        assert_eq!(request["number"], number);
        assert_eq!(request["status"], 200);
        assert_eq!(request["backend"], "httpbin.org");
        assert_eq!(request["backend_source"], "lab");
        let time = request["duration_ms"].as_f64().expect("a number");
        assert!(time > 0.0 && time <= latency("max"));
        assert_eq!(
            request["request_headers_added"],
            json!([{"name": "via", "value": "lab-proxy"}, {"name": "x-request-id", "value": "id-1"}])
        );
        assert_eq!(
            request["request_headers_changed"],
            json!([{"name": "host", "from": origin.address(), "to": "httpbin.org"}])
        );
        assert_eq!(request["request_headers_removed"], json!([]));
        assert_eq!(
            request["response_headers_added"],
            json!([{"name": "x-proxy", "value": "demo"}])
        );
        assert_eq!(request["response_headers_removed"], json!(["server"]));
        assert_eq!(request["error"], Value::Null);
        assert!(request.as_object().expect("an object").contains_key("error"));
    }
}

#[test]
fn the_table_says_the_same() {
    let origin = Origin::answering(|request| {
        let backend = if request.line.contains("/b") { "b.test" } else { "a.test" };
        proxied(backend, request)
    });
    let (code, stdout, stderr) = probe(&["--count", "3", &origin.url("/a")]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().map(str::trim_end).collect();
    assert!(lines.iter().any(|line| line.starts_with("#1  200  a.test  ")), "{stdout}");
    for expected in [
        "    request   + via: lab-proxy",
        "              + x-request-id: id-1",
        &format!("              ~ host: {} → a.test", origin.address()),
        "    response  + x-proxy: demo",
        "              - server: lab",
        "    request   as in #1",
        "    response  as in #1",
        "  200  3",
    ] {
        assert!(lines.contains(&expected), "{expected:?} is missing in\n{stdout}");
    }
    let bar = lines.iter().find(|line| line.starts_with("  a.test  █")).expect("a bar");
    assert!(bar.ends_with("█  3  100.0%"), "{bar}");
    let table: Vec<Vec<&str>> =
        lines.iter().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.contains(&vec!["response", "-", "removed", "server:", "lab", "3/3"]), "{stdout}");
    assert!(table.contains(&vec!["request", "+", "added", "via:", "lab-proxy", "3/3"]), "{stdout}");
    assert!(stdout.contains("3 sent, 3 answered, 0 failed"), "{stdout}");
}

#[test]
fn only_values_that_differ_are_listed_again() {
    let origin = Origin::answering(|request| {
        let name = if request.connection == 1 { "a.test" } else { "b.test" };
        proxied(name, request)
    });
    let (_, stdout, _) = probe(&["--count", "2", "--no-keepalive", &origin.url("/")]);
    let second = stdout.split_once("#2").expect("a second request").1;
    let second = second.split_once("Summary").expect("a summary").0;
    assert!(second.contains("as in #1, except"), "{stdout}");
    assert!(second.contains("+ x-request-id: id-2"), "{stdout}");
    assert!(second.contains("→ b.test"), "{stdout}");
    assert!(!second.contains("+ via"), "{stdout}");
    assert!(stdout.contains("x-request-id: (differs)"), "{stdout}");
}

#[test]
fn a_proxy_that_changes_nothing_is_said_to_change_nothing() {
    let origin = Origin::answering(unproxied);
    let request = one(&origin, &[]);
    for key in ["added", "changed", "removed"] {
        assert_eq!(request[format!("request_headers_{key}")], json!([]), "{request:#}");
        assert_eq!(request[format!("response_headers_{key}")], json!([]), "{request:#}");
    }
    let (_, stdout, _) = probe(&["--count", "1", &origin.url("/")]);
    assert!(stdout.contains("    request   unchanged\n    response  unchanged"), "{stdout}");
}

#[test]
fn what_nobody_says_is_unknown_and_never_an_empty_list() {
    let origin = plain(&[("content-type", "application/json")], r#"{"headers": {"Host": "x"}}"#);
    let request = one(&origin, &[]);
    let keys = request.as_object().expect("an object");
    for key in ["backend", "backend_source", "request_headers_added", "request_headers_changed"]
        .into_iter()
        .chain(["request_headers_removed", "response_headers_added", "response_headers_removed"])
    {
        assert_eq!(keys.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(request["request_headers_unknown"], "no-witness");

    let (_, english, _) = probe(&["--count", "1", &origin.url("/")]);
    assert!(english.contains("#1  200  unknown"), "{english}");
    assert!(english.contains("    request   unknown\n    response  unknown"), "{english}");
    assert!(english.contains("--direct URL"), "{english}");
    let (_, chinese, _) = probe(&["--count", "1", "--lang", "zh", &origin.url("/")]);
    assert!(chinese.contains("#1  200  未知"), "{chinese}");
    assert!(chinese.contains("    请求  未知\n    响应  未知"), "{chinese}");
}

#[test]
fn the_proxys_word_about_the_backend_is_marked_as_its_word() {
    let origin = plain(&[("x-served-by", "b.test")], "");
    let request = one(&origin, &[]);
    assert_eq!(request["backend"], "b.test");
    assert_eq!(request["backend_source"], "x-served-by");
    let (_, stdout, _) = probe(&["--count", "1", &origin.url("/")]);
    assert!(stdout.contains("#1  200  b.test*"), "{stdout}");
    assert!(stdout.contains("* the proxy says so (x-served-by)"), "{stdout}");
}

#[test]
fn a_report_that_was_left_out_is_unknown_for_that_reason() {
    let origin = Origin::answering(|_| {
        let sent = report(&[("content-length", "0"), ("x-lab-backend", "a")]);
        let headers = [
            ("x-lab-backend", "a"),
            ("x-lab-observed-omitted", "request"),
            ("x-lab-observed-response", &sent),
        ];
        response("200 OK", &headers, "")
    });
    let request = one(&origin, &[]);
    assert_eq!(request["request_headers_added"], Value::Null);
    assert_eq!(request["request_headers_unknown"], "too-long");
    assert_eq!(request["response_headers_added"], json!([]));
    let (_, stdout, _) = probe(&["--count", "1", &origin.url("/")]);
    assert!(stdout.contains("longer than 8 KiB"), "{stdout}");
}

#[test]
fn an_echo_in_the_body_shows_what_reached_the_backend() {
    let origin = Origin::answering(|request| {
        let mut echo = serde_json::Map::new();
        for (name, value) in &request.headers {
            echo.insert(name.to_ascii_uppercase(), json!(value));
        }
        echo.remove("ACCEPT");
        echo.insert("X-Forwarded-By".into(), json!("rust-pingora"));
        let body = json!({"headers": echo, "url": "http://x/"}).to_string();
        response("200 OK", &[("content-type", "application/json")], &body)
    });
    let request = one(&origin, &[]);
    assert_eq!(
        request["request_headers_added"],
        json!([{"name": "x-forwarded-by", "value": "rust-pingora"}])
    );
    assert_eq!(request["request_headers_source"], "echo");
    // An echo may hide headers, so a missing one was not proved to be removed.
    assert_eq!(request["request_headers_removed"], Value::Null);
    assert_eq!(request["response_headers_added"], Value::Null);
}

fn page(request: &Received) -> Vec<u8> {
    let id = request.connection.to_string();
    response("200 OK", &[("server", "s"), ("x-id", &id), ("etag", "e")], "page")
}

#[test]
fn a_direct_fetch_shows_what_the_proxy_did_to_the_response() {
    let backend = Origin::answering(page);
    let proxy = Origin::answering(|_| {
        response("200 OK", &[("x-proxy", "p"), ("x-id", "9"), ("etag", "f")], "page")
    });
    let direct = backend.url("");
    let args = ["--direct", &direct, "--no-keepalive", "--count", "1", &proxy.url("/a?b=c")];
    let (code, document) = json(&args);
    assert_eq!(code, 0);
    let request = only(&document);
    assert_eq!(request["response_headers_source"], "direct");
    assert_eq!(request["response_headers_added"], json!([{"name": "x-proxy", "value": "p"}]));
    assert_eq!(request["response_headers_removed"], json!(["server"]));
    // x-id differs from fetch to fetch, so its value says nothing.
    assert_eq!(
        request["response_headers_changed"],
        json!([{"name": "etag", "from": "e", "to": "f"}])
    );
    assert_eq!(request["request_headers_added"], Value::Null);

    let asked = backend.received();
    assert!(asked.iter().all(|request| request.line == "GET /a?b=c HTTP/1.1"), "{asked:?}");
    assert!(asked[0].headers.contains(&("host".into(), backend.address())));
    assert_eq!(proxy.received().len(), 1);
}

#[test]
fn a_direct_fetch_with_another_status_is_no_witness() {
    let backend = Origin::answering(|_| response("404 Not Found", &[], ""));
    let proxy = plain(&[], "");
    let request = one(&proxy, &["--direct", &backend.url("/")]);
    assert_eq!(request["response_headers_added"], Value::Null);
    assert_eq!(request["response_headers_unknown"], "other-status");
}

#[test]
fn header_values_cannot_write_to_the_terminal() {
    let origin = Origin::answering(|request| {
        let mut seen = request.headers.clone();
        seen.push(("x-evil".into(), "\u{1b}[2Jgone".into()));
        let seen = report(&seen);
        response("200 OK", &[("x-lab-observed-request", &seen), ("x-lab-backend", "a")], "")
    });
    let (_, stdout, _) = probe(&["--count", "1", &origin.url("/")]);
    assert!(stdout.contains("+ x-evil: \\u{1b}[2Jgone"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}
