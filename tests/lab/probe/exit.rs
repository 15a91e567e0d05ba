//! How the probe ends, and its last word.

use std::process::{Command, Stdio};

use super::origin::{Origin, response};
use super::{json, probe};
use crate::support::Program;

/// A loopback address where nothing listens: bound, but never listened on, so
/// that nobody else gets the port while the guard lives.
fn deserted() -> (impl Drop, String) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 0)).expect("a free port");
    let address = getsockname(&socket).expect("an address");
    let address = std::net::SocketAddr::try_from(address).expect("an internet address");
    (socket, address.to_string())
}

#[test]
fn nothing_listening_says_so_and_how_to_start_it() {
    let (_guard, address) = deserted();
    let (code, _, stderr) = probe(&["--count", "2", &address]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("error: nothing listens on {address}: ")), "{stderr}");
    assert!(stderr.contains("pingora-lab serve"), "{stderr}");
    let (code, _, stderr) = probe(&["--count", "2", "--lang", "zh", &address]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("{address} 上没有程序在监听：")), "{stderr}");
    assert!(stderr.contains("pingora-lab serve"), "{stderr}");

    let (code, document) = json(&["--count", "2", &address]);
    assert_eq!(code, 1);
    for request in document["requests"].as_array().expect("a list") {
        assert_eq!(request["error"]["kind"], "connect");
    }
}

#[test]
fn a_run_against_nothing_does_not_run_hot() {
    let (_guard, address) = deserted();
    let (_, document) = json(&["--duration", "300ms", &address]);
    let sent = document["summary"]["sent"].as_u64().expect("a number");
    assert!((1..=4).contains(&sent), "{sent}");
}

#[test]
fn an_error_status_is_an_answer_unless_fail_is_asked_for() {
    let origin = Origin::answering(|_| response("502 Bad Gateway", &[], ""));
    let url = origin.url("/");
    let (code, document) = json(&["--count", "1", &url]);
    assert_eq!(code, 0);
    assert_eq!(document["summary"]["by_status"]["502"], 1);
    assert_eq!(document["requests"][0]["error"], serde_json::Value::Null);
    let (code, stdout, _) = probe(&["--count", "1", &url]);
    assert_eq!(code, 0);
    assert!(stdout.contains("1 with a status of 400 or above"), "{stdout}");
    assert_eq!(probe(&["--count", "1", "--fail", &url]).0, 1);
}

#[test]
fn an_order_that_makes_no_sense_ends_with_2_and_sends_nothing() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let url = origin.url("/");
    for (args, en, zh) in [
        (&["--count", "0"] as &[&str], "--count 1 or more", "请使用 --count 1"),
        (&["--duration", "0s"], "--duration is zero", "--duration 为零"),
        (&["--timeout", "0s"], "--timeout is zero", "--timeout 为零"),
        (&["--concurrency", "0"], "give 1 to 10000", "请给出 1 到 10000"),
        (&["--rate", "0"], "give 0.001 to", "请给出 0.001 到"),
        (&["--header", "nonsense"], "a name, a colon", "需要名称、冒号和值"),
        (&["--header", "content-length: 1"], "use --data", "请使用 --data"),
        (&["--method", "a b"], "is no method", "不是合法的请求方法"),
        (&["--method", "CONNECT"], "asks for a tunnel", "请求的是隧道"),
        (&["--host", "a b"], "the host 'a b' is not valid", "主机 “a b” 不合法"),
        (&["--data", "@/nonexistent/file"], "cannot be read", "无法读取"),
        (&["--http2", "--header", "Upgrade: x"], "leave it or --http2 out", "去掉 --http2"),
        (&["--direct", "ftp://a/"], "'ftp://a/' cannot be used", "“ftp://a/” 无法使用"),
    ] {
        for (language, expected) in [("en", en), ("zh", zh)] {
            let (code, stdout, stderr) = probe(&[args, &["--lang", language, &url]].concat());
            assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
            assert!(stderr.contains(expected), "{args:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    for args in [&["http://"] as &[&str], &["ftp://a/"], &["http://me:pw@a/"], &["--count", "x"]] {
        assert_eq!(probe(args).0, 2, "{args:?}");
    }
    assert!(origin.received().is_empty());
}

#[test]
fn without_the_backend_itself_nothing_is_compared_and_nothing_sent() {
    let (_guard, address) = deserted();
    let proxy = Origin::answering(|_| response("200 OK", &[], ""));
    let (code, stdout, stderr) = probe(&["--direct", &address, &proxy.url("/")]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains(&address) && stderr.contains("leave --direct out"), "{stderr}");
    assert!(proxy.received().is_empty());
}

#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    for format in ["table", "json"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pingora-lab"))
            .args(["probe", "--count", "2000", "--format", format, &origin.url("/")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        // Whether anything was sent before the reader went is a matter of
        // luck; how the program ends is not.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let (code, stdout, _) = Program::run(["probe", "--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("Exit code: 0"), "{stdout}");
}
