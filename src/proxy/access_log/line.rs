//! What a line says, and its two forms.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::escape;
use crate::config::LogFormat;

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Text or JSON.
    pub format: LogFormat,
    /// Whether text is coloured, for a terminal.
    pub colour: bool,
}

/// All that is said of a request. What is `None` is left out.
pub struct Line<'a> {
    /// As the client wrote it.
    pub method: &'a str,
    /// As the client wrote it.
    pub host: &'a [u8],
    /// Without its query, which may hold what no log should.
    pub path: &'a [u8],
    /// The status code that was sent, or that would have been.
    pub status: u16,
    /// The route's name.
    pub route: &'a str,
    /// The name of the backend that was asked last.
    pub backend: &'a str,
    /// How often a connection to a backend was asked for.
    pub attempts: u32,
    /// From the end of the request's header to the end of the answer.
    pub duration: Duration,
    /// From the last try's beginning to the header of the backend's answer.
    pub upstream: Option<Duration>,
    /// Of the answer's body.
    pub bytes: usize,
    /// Of the request's body.
    pub bytes_in: usize,
    /// `HTTP/1.1` and so on.
    pub protocol: &'static str,
    /// The version of TLS.
    pub tls: Option<&'a str>,
    /// The peer.
    pub client: Option<SocketAddr>,
    /// Who it is, where a policy has found that out.
    pub user: Option<&'a [u8]>,
    /// Why it may not, where an auth policy has said so.
    pub denial: Option<&'static str>,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The id of the trace that the request belongs to.
    pub trace_id: Option<&'a [u8]>,
    /// Why the proxy itself answered, or the answer broke off.
    pub reason: Option<&'static str>,
}

/// A form in which the fields of a line are written.
trait Fields {
    /// The name of a field that is not the first, and what comes before its value.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8>;
    /// A field that a client may have had a hand in.
    fn words(&mut self, name: &'static str, value: &[u8]);
}

struct Json<'a>(&'a mut Vec<u8>);

struct Text<'a> {
    out: &'a mut Vec<u8>,
    colour: bool,
}

// === impl Line ===

impl Line<'_> {
    /// Nothing is known of the request.
    pub const UNKNOWN: Self = Self {
        method: "-",
        host: b"-",
        path: b"-",
        status: 0,
        route: "-",
        backend: "-",
        attempts: 0,
        duration: Duration::ZERO,
        upstream: None,
        bytes: 0,
        bytes_in: 0,
        protocol: "-",
        tls: None,
        client: None,
        user: None,
        denial: None,
        request_id: b"-",
        trace_id: None,
        reason: None,
    };

    /// Appends the line, with its end.
    pub fn write(&self, out: &mut Vec<u8>, time: &[u8], form: Form) {
        match (form.format, form.colour) {
            (LogFormat::Json, _) => {
                out.extend_from_slice(b"{\"timestamp\":\"");
                out.extend_from_slice(time);
                out.extend_from_slice(b"\",\"level\":\"INFO\",\"target\":\"access\"");
                self.write_fields(&mut Json(out));
                out.extend_from_slice(b"}\n");
            }
            (LogFormat::Text, false) => {
                out.extend_from_slice(time);
                out.extend_from_slice(b"  INFO access:");
                self.write_fields(&mut Text { out, colour: false });
                out.push(b'\n');
            }
            (LogFormat::Text, true) => {
                out.extend_from_slice(DIM);
                out.extend_from_slice(time);
                out.extend_from_slice(RESET);
                out.extend_from_slice(b" \x1b[32m INFO\x1b[0m \x1b[2maccess:\x1b[0m");
                self.write_fields(&mut Text { out, colour: true });
                out.push(b'\n');
            }
        }
    }

    fn write_fields(&self, fields: &mut impl Fields) {
        fields.words("method", self.method.as_bytes());
        fields.words("host", self.host);
        fields.words("path", self.path);
        number(fields.name("status"), self.status);
        fields.words("route", self.route.as_bytes());
        fields.words("backend", self.backend.as_bytes());
        number(fields.name("attempts"), self.attempts);
        millis(fields.name("duration_ms"), self.duration);
        if let Some(time) = self.upstream {
            millis(fields.name("upstream_ms"), time);
        }
        number(fields.name("bytes"), self.bytes);
        number(fields.name("bytes_in"), self.bytes_in);
        plain(fields.name("protocol"), self.protocol.as_bytes());
        if let Some(tls) = self.tls {
            plain(fields.name("tls"), tls.as_bytes());
        }
        address(fields.name("client"), self.client);
        if let Some(user) = self.user {
            fields.words("user", user);
        }
        if let Some(denial) = self.denial {
            plain(fields.name("auth"), denial.as_bytes());
        }
        fields.words("request_id", self.request_id);
        if let Some(id) = self.trace_id {
            plain(fields.name("trace_id"), id);
        }
        if let Some(reason) = self.reason {
            plain(fields.name("reason"), reason.as_bytes());
        }
    }
}

// === impl Json ===

impl Fields for Json<'_> {
    #[inline]
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0
    }

    #[inline]
    fn words(&mut self, name: &'static str, value: &[u8]) {
        escape::json(self.name(name), value);
    }
}

// === impl Text ===

const DIM: &[u8] = b"\x1b[2m";
const ITALIC: &[u8] = b"\x1b[3m";
const RESET: &[u8] = b"\x1b[0m";

impl Fields for Text<'_> {
    #[inline]
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.push(b' ');
        if self.colour {
            self.out.extend_from_slice(ITALIC);
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(RESET);
            self.out.extend_from_slice(DIM);
            self.out.push(b'=');
            self.out.extend_from_slice(RESET);
        } else {
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'=');
        }
        self.out
    }

    #[inline]
    fn words(&mut self, name: &'static str, value: &[u8]) {
        escape::text(self.name(name), value);
    }
}

#[inline]
fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds, to the microsecond.
fn millis(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    let rest = (micros % 1000) as u16;
    let digit = |by: u16| b'0' + (rest / by % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// What nobody but this program has written.
#[inline]
fn plain(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn address(out: &mut Vec<u8>, address: Option<SocketAddr>) {
    out.push(b'"');
    match address.map(|address| (address, address.ip().to_canonical())) {
        Some((address, IpAddr::V4(ip))) => {
            for (place, octet) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(out, octet);
            }
            out.push(b':');
            number(out, address.port());
        }
        // Writing to memory does not fail.
        Some((address, IpAddr::V6(_))) => drop(write!(out, "{address}")),
        None => out.push(b'-'),
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const TIME: &[u8] = b"2026-01-31T12:59:59.123Z";

    fn line(path: &[u8]) -> Line<'_> {
        Line {
            method: "GET",
            host: b"www.test",
            path,
            status: 200,
            route: "default",
            backend: "a",
            attempts: 1,
            duration: Duration::from_micros(12_034),
            upstream: Some(Duration::from_micros(7)),
            bytes: 20,
            bytes_in: 0,
            protocol: "HTTP/1.1",
            tls: None,
            client: Some("[::ffff:192.0.2.1]:81".parse().unwrap()),
            user: None,
            denial: None,
            request_id: b"one",
            trace_id: None,
            reason: None,
        }
    }

    fn written(line: &Line<'_>, format: LogFormat, colour: bool) -> String {
        let mut out = Vec::new();
        line.write(&mut out, TIME, Form { format, colour });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_two_forms_say_the_same() {
        let line = line(b"/x");
        assert_eq!(
            written(&line, LogFormat::Text, false),
            "2026-01-31T12:59:59.123Z  INFO access: method=\"GET\" host=\"www.test\" path=\"/x\" \
             status=200 route=\"default\" backend=\"a\" attempts=1 duration_ms=12.034 \
             upstream_ms=0.007 bytes=20 bytes_in=0 protocol=\"HTTP/1.1\" client=\"192.0.2.1:81\" \
             request_id=\"one\"\n"
        );
        let json: Value = serde_json::from_str(&written(&line, LogFormat::Json, false)).unwrap();
        let expected: Value = serde_json::json!({
            "timestamp": "2026-01-31T12:59:59.123Z", "level": "INFO", "target": "access",
            "method": "GET", "host": "www.test", "path": "/x", "status": 200, "route": "default",
            "backend": "a", "attempts": 1, "duration_ms": 12.034, "upstream_ms": 0.007,
            "bytes": 20, "bytes_in": 0, "protocol": "HTTP/1.1", "client": "192.0.2.1:81",
            "request_id": "one",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let line = line(b"/x\x1b[31m");
        let mut coloured = written(&line, LogFormat::Text, true);
        for code in ["\x1b[0m", "\x1b[2m", "\x1b[3m", "\x1b[32m"] {
            coloured = coloured.replace(code, "");
        }
        assert_eq!(coloured, written(&line, LogFormat::Text, false));
    }

    proptest! {
        #[test]
        fn nothing_that_is_put_in_forges_a_line(
            path: Vec<u8>, host: Vec<u8>, user: Option<Vec<u8>>, micros: u64, port: u16, ip: u128,
        ) {
            let ip = std::net::Ipv6Addr::from_bits(ip);
            let line = Line {
                path: &path,
                host: &host,
                user: user.as_deref(),
                duration: Duration::from_micros(micros),
                client: Some(SocketAddr::new(ip.into(), port)),
                ..line(b"")
            };
            let json = written(&line, LogFormat::Json, false);
            let event: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&event["path"], &String::from_utf8_lossy(&path).into_owned());
            prop_assert_eq!(&event["host"], &String::from_utf8_lossy(&host).into_owned());
            prop_assert_eq!(
                &event["user"],
                &user.as_ref().map_or(Value::Null, |u| String::from_utf8_lossy(u).into())
            );
            prop_assert_eq!(event["duration_ms"].as_f64().unwrap(), micros as f64 / 1000.0);
            let client = event["client"].as_str().unwrap().parse::<SocketAddr>().unwrap();
            prop_assert_eq!(client.ip(), ip.to_canonical());
            for line in [json, written(&line, LogFormat::Text, false)] {
                prop_assert!(line.ends_with('\n'));
                prop_assert_eq!(line.chars().filter(|c| c.is_control()).count(), 1);
            }
        }
    }
}
