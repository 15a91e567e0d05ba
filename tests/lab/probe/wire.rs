//! What the probe sends, and that it knows what it sends.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::origin::{Origin, report, response, unproxied};
use super::{json, only};
use crate::support::Program;

fn assert_nothing_changed(request: &Value, why: &str) {
    for key in ["added", "changed", "removed"] {
        assert_eq!(request[format!("request_headers_{key}")], json!([]), "{why}: {request:#}");
    }
}

#[test]
fn the_probe_knows_every_header_that_it_sends() {
    let origin = Origin::answering(unproxied);
    for args in [
        &[] as &[&str],
        &["--method", "HEAD"],
        &["--method", "OPTIONS"],
        &["--method", "DELETE"],
        &["--method", "POST"],
        &["--method", "PUT", "--data", ""],
        &["--data", "后端"],
        &["--method", "GET", "--data", "x"],
        &["--no-keepalive"],
        &["--host", "httpbin.org"],
        &["--header", "Connection: keep-alive"],
        &["--header", "X-Two: 1", "--header", "x-two: 2", "--header", "User-Agent: me"],
        &["--header", "X-Empty:"],
    ] {
        let url = origin.url("/anything");
        let (code, document) = json(&[&["--count", "2", &url], args].concat());
        assert_eq!(code, 0, "{args:?}: {document:#}");
        for request in document["requests"].as_array().expect("a list") {
            assert_nothing_changed(request, &format!("{args:?}"));
        }
    }
}

#[test]
fn method_host_headers_and_body_arrive_as_given() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let args = ["--method", "patch", "--host", "b.test", "--header", "X-Trace: a:b"];
    let (code, _) =
        json(&[&["--count", "1", "--data", "text", &origin.url("/p?q=1")], &args[..]].concat());
    assert_eq!(code, 0);
    let received = origin.received().remove(0);
    assert_eq!(received.line, "PATCH /p?q=1 HTTP/1.1");
    assert_eq!(received.body, b"text");
    let names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "host").count(), 1);
    for (name, value) in [("host", "b.test"), ("x-trace", "a:b"), ("x-lab-observe", "1")] {
        assert!(received.headers.contains(&(name.into(), value.into())), "{received:?}");
    }
}

#[test]
fn a_body_comes_from_a_file_or_from_standard_input() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("body.bin");
    std::fs::write(&file, b"\x00\xff\n").expect("a file");
    let data = format!("@{}", file.display());
    json(&["--count", "1", "--data", &data, &origin.url("/")]);

    let input = std::fs::File::open(&file).expect("the file");
    let url = origin.url("/");
    let piped = ["probe", "--count", "1", "--data", "@-", &url];
    let (code, ..) = Program::start_with(piped, |command| {
        command.stdin(input);
    })
    .finish();
    assert_eq!(code, 0);

    let received = origin.received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|request| request.body == b"\x00\xff\n"), "{received:?}");
    assert!(received.iter().all(|request| request.line.starts_with("POST ")));
}

#[test]
fn a_connection_is_kept_unless_told_otherwise() {
    let connections = |args: &[&str]| {
        let origin = Origin::answering(unproxied);
        let (code, document) = json(&[&["--count", "3", &origin.url("/")], args].concat());
        assert_eq!(code, 0);
        let reused: Vec<bool> = document["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|request| request["connection_reused"].as_bool().expect("a truth"))
            .collect();
        let received = origin.received();
        (received.iter().map(|request| request.connection).collect::<Vec<_>>(), reused)
    };
    assert_eq!(connections(&[]), (vec![1, 1, 1], vec![false, true, true]));
    assert_eq!(connections(&["--no-keepalive"]), (vec![1, 2, 3], vec![false; 3]));
}

#[test]
fn a_server_that_closes_after_each_answer_is_no_failure() {
    let origin = Origin::script(|mut peer| {
        if peer.receive().is_some() {
            peer.send(&response("200 OK", &[("connection", "close")], "ok"));
        }
    });
    let (code, document) = json(&["--count", "20", &origin.url("/")]);
    assert_eq!((code, &document["summary"]["succeeded"]), (0, &json!(20)));
    assert_eq!(origin.received().len(), 20);
}

#[test]
fn redirects_are_answers() {
    let origin = Origin::answering(|_| response("302 Found", &[("location", "/next")], ""));
    let (code, document) = json(&["--count", "1", &origin.url("/")]);
    assert_eq!((code, &only(&document)["status"]), (0, &json!(302)));
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn no_proxy_of_the_environment_stands_between() {
    let origin = Origin::answering(unproxied);
    let url = origin.url("/");
    let run = Program::start_with(["probe", "--count", "1", &url], |command| {
        // Port 9 discards; nothing that goes there comes back.
        command.env("http_proxy", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    });
    assert_eq!(run.finish().0, 0);
    assert_eq!(origin.received()[0].line, "GET / HTTP/1.1");
}

#[test]
fn http2_with_prior_knowledge_sends_the_host_as_authority() {
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(lab_over_http2));
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    let url = format!("http://{address}/get");
    for args in [
        &["--http2"] as &[&str],
        &["--http2", "--data", "text"],
        &["--http2", "--method", "POST"],
        &["--http2", "--host", "b.test"],
    ] {
        let (code, document) = json(&[&["--count", "2", &url], args].concat());
        assert_eq!(code, 0, "{args:?}: {document:#}");
        for request in document["requests"].as_array().expect("a list") {
            assert_eq!(request["backend"], "h2", "{args:?}");
            assert_nothing_changed(request, &format!("{args:?}"));
        }
        assert_eq!(document["requests"][1]["connection_reused"], true);
    }
    runtime.shutdown_background();
}

/// Reports the request as a lab backend does; `:authority` stands as `host`.
/// The report is padded to the 8 KiB that a lab backend may send.
async fn lab_over_http2(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), http::Version::HTTP_2);
    assert!(request.headers().get("host").is_none());
    let authority = request.uri().authority().expect("an authority").to_string();
    let mut seen = vec![("host".to_owned(), authority)];
    for (name, value) in request.headers() {
        seen.push((name.to_string(), value.to_str().expect("text").to_owned()));
    }
    drop(request.into_body().collect().await);
    let padding = ("x-padding".to_owned(), "p".repeat(6000));
    let response = Response::builder()
        .header("x-lab-backend", "h2")
        .header("x-lab-observed-request", report(&seen))
        .header("x-lab-observed-response", report(std::slice::from_ref(&padding)))
        .header(padding.0, padding.1)
        .body(Full::new(Bytes::from_static(b"ok")))
        .expect("a valid response");
    Ok(response)
}
