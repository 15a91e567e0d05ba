//! Requests without a complete answer, and what the probe calls them.

use serde_json::{Value, json};

use super::origin::{Origin, response};
use super::{json, only, probe};

/// Sends one request, which fails: kind and message of the error.
fn failure(url: &str, args: &[&str]) -> (String, String) {
    let (code, document) = json(&[&["--count", "1", url], args].concat());
    assert_eq!(code, 1, "{document:#}");
    let summary = &document["summary"];
    assert_eq!((&summary["sent"], &summary["failed"]), (&json!(1), &json!(1)));
    assert_eq!(summary["latency_ms"]["p50"], Value::Null);
    let request = only(&document);
    let keys = request.as_object().expect("an object");
    for key in ["status", "backend", "request_headers_added", "response_headers_removed"] {
        assert_eq!(keys.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!(summary["failures"][request["error"]["kind"].as_str().expect("a kind")], 1);
    let text = |key: &str| request["error"][key].as_str().expect("a text").to_owned();
    (text("kind"), text("message"))
}

/// A server that reads one request, sends these bytes, and closes.
fn sends(bytes: &'static [u8]) -> Origin {
    Origin::script(move |mut peer| {
        if peer.receive().is_some() {
            peer.send(bytes);
        }
    })
}

fn kind_of(bytes: &'static [u8]) -> String {
    failure(&sends(bytes).url("/"), &[]).0
}

#[test]
fn an_answer_that_breaks_off_is_a_reset() {
    for bytes in [
        b"".as_slice(),
        b"HTTP/1.1 200 OK\r\nconte",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        assert_eq!(kind_of(bytes), "reset", "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn an_answer_that_is_no_http_is_a_protocol_error() {
    for bytes in [
        b"220 mail.test ESMTP\r\n\r\n".as_slice(),
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    ] {
        assert_eq!(kind_of(bytes), "protocol", "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_is_complete() {
    let origin = sends(b"HTTP/1.1 200 OK\r\n\r\nall of it");
    let (code, document) = json(&["--count", "1", &origin.url("/")]);
    assert_eq!((code, &only(&document)["status"]), (0, &json!(200)));
}

#[test]
fn a_tcp_reset_is_a_reset() {
    let origin = Origin::script(|mut peer| {
        if peer.receive().is_some() {
            peer.reset();
        }
    });
    assert_eq!(failure(&origin.url("/"), &[]).0, "reset");
}

#[test]
fn a_server_that_says_nothing_is_a_timeout() {
    let origin = Origin::script(|mut peer| {
        peer.receive();
        peer.hang();
    });
    let (kind, message) = failure(&origin.url("/"), &["--timeout", "200ms"]);
    assert_eq!(kind, "timeout");
    assert!(message.contains("200ms"), "{message}");
}

#[test]
fn a_body_that_never_ends_is_a_timeout() {
    let origin = Origin::script(|mut peer| {
        peer.receive();
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
        peer.hang();
    });
    assert_eq!(failure(&origin.url("/"), &["--timeout", "200ms"]).0, "timeout");
}

#[test]
fn a_name_that_does_not_resolve_is_a_connect_failure() {
    let (kind, message) = failure("http://name.invalid:81/", &[]);
    assert_eq!(kind, "connect");
    assert!(message.contains("name.invalid:81"), "{message}");
}

#[test]
fn http2_to_a_server_without_it_says_what_to_leave_out() {
    let origin = Origin::script(|mut peer| {
        peer.receive();
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        // Closing with the rest of the preface unread would reset the
        // connection, and the reset may overtake the answer.
        peer.hang();
    });
    let (kind, message) = failure(&origin.url("/"), &["--http2"]);
    assert_eq!(kind, "protocol");
    assert!(message.contains("--http2"), "{message}");
}

#[test]
fn http2_to_a_server_that_closes_on_it_says_so_too() {
    let origin = Origin::script(|mut peer| {
        peer.receive();
        peer.reset();
    });
    let (kind, message) = failure(&origin.url("/"), &["--http2"]);
    assert_eq!(kind, "reset");
    assert!(message.contains("leave --http2 out"), "{message}");
}

#[test]
fn one_failure_among_many_is_counted_and_does_not_end_the_batch() {
    // The third request's connection breaks off; the next one is new.
    let origin = Origin::script(|mut peer| {
        for number in 1.. {
            let Some(request) = peer.receive() else { return };
            if request.connection == 1 && number == 3 {
                return;
            }
            peer.send(&response("200 OK", &[], ""));
        }
    });
    let (code, document) = json(&["--count", "5", &origin.url("/")]);
    assert_eq!(code, 1);
    let summary = &document["summary"];
    assert_eq!((&summary["succeeded"], &summary["failed"]), (&json!(4), &json!(1)));
    let kept = &document["requests"][2]["error"]["message"];
    assert!(kept.as_str().expect("a message").contains("kept from an earlier request"), "{kept}");
    assert_eq!(document["requests"][3]["status"], 200);
    assert_eq!(document["requests"][3]["connection_reused"], false);
    // It was not sent a second time.
    assert_eq!(origin.received().len(), 5);
}

#[test]
fn failures_are_told_in_the_table_by_kind() {
    let origin = sends(b"");
    let (code, stdout, _) = probe(&["--count", "2", &origin.url("/")]);
    assert_eq!(code, 1);
    assert!(stdout.contains("#1  failed: reset"), "{stdout}");
    assert!(stdout.contains("2 sent, 0 answered, 2 failed"), "{stdout}");
    assert!(stdout.contains("Failures\n  reset  2\n"), "{stdout}");
    let (_, stdout, _) = probe(&["--count", "2", "--lang", "zh", &origin.url("/")]);
    assert!(stdout.contains("#1  失败：连接中断（reset）"), "{stdout}");
    assert!(stdout.contains("发送 2 个，得到应答 0 个，失败 2 个"), "{stdout}");
}
