//! What a backend says about an exchange, against the bytes of the exchange.

use pingora_lab::backends::Site;
use pingora_lab::backends::observation::{Headers, LIMIT};

use super::Lab;
use super::exchange::{Answer, Connection, Request};

/// The observation of the response and the response itself, both without the
/// observation.
fn claimed_and_real(answer: &Answer) -> (Headers, Headers) {
    let claimed = answer.header("x-lab-observed-response").unwrap_or_else(|| panic!("{answer:?}"));
    let real = answer.headers.iter().filter(|(name, _)| !name.starts_with("x-lab-observed-"));
    (sorted(Headers::decode(claimed).unwrap()), sorted(real.cloned().collect()))
}

/// By name; fields of different names have no order between them, those of one
/// name keep theirs.
fn sorted(mut headers: Headers) -> Headers {
    headers.0.sort_by(|a, b| a.0.cmp(&b.0));
    headers
}

#[test]
fn what_is_said_of_the_response_is_what_is_on_the_wire() {
    let lab = Lab::start();
    let cases = [
        (Site::Httpbin, "GET /get HTTP/1.1", ""),
        (Site::Httpbin, "HEAD /get HTTP/1.1", ""),
        (Site::Httpbin, "GET /stream/2 HTTP/1.1", ""),
        (Site::Httpbin, "HEAD /stream/2 HTTP/1.1", ""),
        (Site::Httpbin, "GET /stream/2 HTTP/1.1", "Connection: close\r\n"),
        (Site::Httpbin, "GET /stream/2 HTTP/1.1", "Connection: x-a, Close\r\n"),
        (Site::Httpbin, "GET /stream/2 HTTP/1.0", ""),
        (Site::Httpbin, "GET /get HTTP/1.0", "Connection: keep-alive\r\n"),
        (Site::Httpbin, "GET /drip?duration=0.02&numbytes=2 HTTP/1.1", ""),
        (Site::Httpbin, "GET /drip?duration=0&code=204 HTTP/1.1", ""),
        (Site::Httpbin, "GET /status/204 HTTP/1.1", ""),
        (Site::Httpbin, "GET /status/304 HTTP/1.1", ""),
        (Site::Httpbin, "HEAD /status/304 HTTP/1.1", ""),
        (Site::Httpbin, "GET /status/205 HTTP/1.1", ""),
        (Site::Httpbin, "GET /cookies/set?a=1&b=2 HTTP/1.1", ""),
        (Site::Httpbin, "GET /response-headers?date=never&server=x&a=1&a=2 HTTP/1.1", ""),
        (Site::Httpbin, "GET /bytes/0 HTTP/1.1", ""),
        (Site::Httpbin, "GET /range/9 HTTP/1.1", "Range: bytes=1-2\r\n"),
        (Site::Httpbin, "DELETE /get HTTP/1.1", ""),
        (Site::Httpbin, "OPTIONS /get HTTP/1.1", ""),
        (Site::Httpbin, "CONNECT a:1 HTTP/1.1", ""),
        (Site::Httpbin, "POST /post HTTP/1.1", "Content-Length: 99999999\r\n"),
        (Site::Example, "GET / HTTP/1.1", ""),
        (Site::Example, "GET /nothing HTTP/1.1", ""),
        (Site::JsonPlaceholder, "GET /posts HTTP/1.1", ""),
        (Site::JsonPlaceholder, "GET /posts HTTP/1.1", "If-None-Match: *\r\n"),
        (Site::JsonPlaceholder, "OPTIONS /posts HTTP/1.1", "Origin: http://a\r\n"),
        (Site::JsonPlaceholder, "POST /posts/1 HTTP/1.1", ""),
    ];
    for (site, line, headers) in cases {
        let mut connection = Connection::open(lab.address(site));
        let request = format!("{line}\r\nHost: lab.test\r\n{headers}X-Lab-Observe: 1\r\n\r\n");
        connection.send(request.as_bytes());
        let answer = connection.receive(line.starts_with("HEAD"));
        let (claimed, real) = claimed_and_real(&answer);
        assert_eq!(claimed, real, "{line}\n{answer:?}");
        let names: Vec<_> = real.0.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["date", "server", "x-lab-backend"] {
            assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name} of {line}");
        }
        assert_eq!(answer.header("x-lab-backend"), Some(site.name()));
        let closes = answer.header("connection") == Some("close");
        assert!(!closes || connection.ends(), "{line}");
    }
}

#[test]
fn what_is_said_of_the_request_is_what_was_sent() {
    let lab = Lab::start();
    let mut connection = Connection::open(lab.address(Site::Example));
    connection.send(
        b"GET / HTTP/1.1\r\nHost: Lab.Test\r\nX-Two: first\r\nX-Lab-Observe: 1\r\n\
          x-two: second\r\nX-Bytes: a\xffb\r\nX-Text: \xe4\xb8\xad\r\nX-Empty:\r\n\r\n",
    );
    let answer = connection.receive(false);
    let observed = Headers::decode(answer.header("x-lab-observed-request").unwrap()).unwrap();
    let expected = [
        ("host", "Lab.Test"),
        ("x-bytes", "a\u{fffd}b"),
        ("x-empty", ""),
        ("x-lab-observe", "1"),
        ("x-text", "中"),
        ("x-two", "first"),
        ("x-two", "second"),
    ];
    assert_eq!(sorted(observed), expected.into_iter().collect());
}

#[test]
fn nothing_is_said_unasked() {
    let lab = Lab::start();
    for request in [Request::get("/get"), Request::get("/get").header("X-Lab-Observe", "yes")] {
        let answer = lab.fetch(Site::Httpbin, &request);
        assert_eq!(answer.header("x-lab-backend"), Some("httpbin.org"));
        let said = answer.headers.iter().find(|(name, _)| name.starts_with("x-lab-observed"));
        assert_eq!(said, None);
    }
}

#[test]
fn what_is_too_long_is_named_instead() {
    let lab = Lab::start();
    let long = "a".repeat(LIMIT);
    let cases = [
        ("/response-headers?a=1".to_owned(), None),
        ("/response-headers?a=1".to_owned(), Some("request")),
        (format!("/response-headers?a={long}"), Some("response")),
        (format!("/response-headers?a={long}"), Some("request, response")),
    ];
    for (target, omitted) in cases {
        let mut request = Request::get(&target).header("X-Lab-Observe", "1");
        if omitted.is_some_and(|omitted| omitted.contains("request")) {
            request = request.header("X-Long", &long);
        }
        let answer = lab.fetch(Site::Httpbin, &request);
        assert_eq!(answer.header("x-lab-observed-omitted"), omitted);
        for half in ["request", "response"] {
            let value = answer.header(if half == "request" {
                "x-lab-observed-request"
            } else {
                "x-lab-observed-response"
            });
            let is_omitted = omitted.is_some_and(|omitted| omitted.split(", ").any(|o| o == half));
            assert_eq!(value.is_none(), is_omitted, "{half} of {omitted:?}");
            assert!(value.is_none_or(|value| value.len() <= LIMIT));
        }
    }
}
