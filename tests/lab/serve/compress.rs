//! Compressed answers.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::{Answer, Balancer, Client, Upstream, ask, get};

/// Longer than what goes through in one piece.
fn text() -> String {
    (0..60_000).map(|n| format!("line {}\n", n / 3)).collect()
}

/// A load balancer with a route that compresses and one at `/plain` that does not.
fn compressing(upstream: &Upstream, compress: &str) -> Balancer {
    Balancer::configured(&format!(
        "[[pool]]\n[[pool.backend]]\nname = 'one'\naddress = '{}'\n\
         [[route]]\nprefix = '/plain'\npool = 'default'\n\
         [[route]]\npool = 'default'\ncompress = {compress}\n",
        upstream.address
    ))
}

fn decoded(answer: &Answer) -> String {
    let mut text = String::new();
    let bytes = answer.body.as_slice();
    match answer.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_string(&mut text),
        _ => return answer.text(),
    }
    .expect("a whole body");
    text
}

/// What the fields say of the coding.
fn fields(answer: &Answer) -> [Option<&str>; 6] {
    ["content-encoding", "content-length", "transfer-encoding", "vary", "etag", "accept-ranges"]
        .map(|name| answer.header(name))
}

#[test]
fn a_client_gets_what_it_likes_best_and_all_of_it() {
    let body = text();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"1\"\r\n\
         Accept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = body.clone();
    let upstream = Upstream::scripted(move |received, stream| {
        let empty = received.line.starts_with("HEAD");
        let body = if empty { "" } else { sent.as_str() };
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(body.as_bytes()).is_ok()
    });
    let balancer = compressing(&upstream, "true");
    let length = body.len().to_string();
    let plain =
        [None, Some(length.as_str()), None, Some("Accept-Encoding"), Some("\"1\""), Some("bytes")];
    // Over one connection, so that the end of each answer is where it is said to be.
    let mut client = Client::connect(balancer.address);
    for (accepted, coding) in [
        ("gzip", Some("gzip")),
        ("br;q=0.9, gzip;q=0.8", Some("br")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("*", Some("zstd")),
        ("br;q=0", None),
        ("identity, gzip;q=0.1", None),
        ("deflate", None),
    ] {
        let answer = client.get("/", &[&format!("Accept-Encoding: {accepted}")]);
        assert_eq!(decoded(&answer), body, "{accepted}");
        let coded = [coding, None, Some("chunked"), Some("Accept-Encoding"), Some("W/\"1\""), None];
        assert_eq!(fields(&answer), if coding.is_some() { coded } else { plain }, "{accepted}");
        assert!(coding.is_none() || answer.body.len() < body.len() / 4, "{}", answer.body.len());
    }
    assert_eq!(fields(&client.get("/", &[])), plain, "nobody asked");
    let untouched = client.get("/plain", &["Accept-Encoding: gzip"]);
    assert_eq!(fields(&untouched), [None, plain[1], None, None, plain[4], plain[5]]);
    // What the backend is asked for is the client's affair.
    assert_eq!(upstream.received()[0].values("accept-encoding"), ["gzip"]);

    // RFC 9110, section 9.3.2: the same header, and no body.
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = client.header().unwrap();
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(client.get("/", &[]).text(), body);

    let old = ask(balancer.address, "GET / HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((old.header("content-encoding"), old.text()), (None, body));
}

#[test]
fn a_slow_answer_is_not_held_back() {
    for coding in ["gzip", "br", "zstd"] {
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let upstream = Upstream::scripted(move |_, stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n";
            let _ = stream.write_all(head.as_bytes());
            gate.lock().unwrap().recv().is_ok()
                && stream.write_all(b"7\r\ndata: 2\r\n0\r\n\r\n").is_ok()
        });
        let types = "{ types = ['text/event-stream'] }";
        let balancer = compressing(&upstream, types);
        let mut client = Client::connect(balancer.address);
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n"));
        let head = client.header().unwrap();
        assert_eq!(head.header("content-encoding"), Some(coding));
        let mut decoder: Box<dyn Read> = {
            let chunks = Chunks { client, left: 0 };
            match coding {
                "gzip" => Box::new(flate2::read::GzDecoder::new(chunks)),
                "br" => Box::new(brotli::Decompressor::new(chunks, 64)),
                _ => Box::new(zstd::stream::read::Decoder::new(chunks).unwrap()),
            }
        };
        let mut first = [0; 7];
        decoder.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"data: 1", "{coding}");
        open.send(()).unwrap();
        let mut rest = String::new();
        decoder.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "data: 2", "{coding}");
    }
}

/// A chunked body, read as it comes.
struct Chunks {
    client: Client,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") || line == b"\r\n" {
                if line == b"\r\n" {
                    line.clear();
                }
                let mut byte = [0];
                assert_eq!(self.client.read(&mut byte)?, 1, "an end before the end");
                line.push(byte[0]);
            }
            let size = String::from_utf8(line).unwrap();
            self.left = usize::from_str_radix(size.trim(), 16).unwrap();
        }
        let most = bytes.len().min(self.left);
        let count = if most == 0 { 0 } else { self.client.read(&mut bytes[..most])? };
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn a_part_of_an_answer_does_not_look_whole() {
    let upstream = Upstream::scripted(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&[b'a'; 50_000]);
        false
    });
    let balancer = compressing(&upstream, "true");
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nx-request-id: cut\r\n\r\n");
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes);
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", bytes.escape_ascii());
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "the last chunk must not come");
    assert_eq!(balancer.access("cut")["reason"], "connection_broken");
}

#[test]
fn a_table_says_what_is_compressed_and_mistakes_have_their_place() {
    let body = "x".repeat(3000);
    let upstream = Upstream::scripted(move |received, stream| {
        let media_type = received.line.split([' ', '?']).nth(2).unwrap_or_default().to_owned();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(body.as_bytes()).is_ok()
    });
    let table = "{ codings = ['br', 'gzip'], types = ['+json'], min_size = '3000B' }";
    let balancer = compressing(&upstream, table);
    let coding = |media_type: &str| {
        let path = format!("/?{media_type}");
        let answer = get(balancer.address, &path, &["Accept-Encoding: gzip, br, zstd"]);
        answer.header("content-encoding").map(str::to_owned)
    };
    assert_eq!(coding("application/ld+json").as_deref(), Some("br"));
    assert_eq!(coding("text/html"), None);

    for (compress, place, said) in [
        ("'yes'", "9:12", "expected true, false or a table"),
        ("{ gzip_level = 10 }", "9:27", "use a number from 1 to 9"),
        ("{ types = ['html'] }", "9:22", "no media type"),
        ("{ typs = [] }", "9:14", "did you mean `types`?"),
        ("{ codings = ['deflate'] }", "9:25", "deflate"),
        ("{ codings = [] }", "9:", "name a coding"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "[[pool]]\n[[pool.backend]]\naddress = '127.0.0.1:1'\n[[route]]\npool = 'default'\n\
             path = '/'\n[[route]]\npool = 'default'\ncompress = {compress}\n"
        );
        std::fs::write(file.path(), text).unwrap();
        let file = file.path().to_str().unwrap();
        let (code, _, stderr) =
            crate::support::Program::run(["serve", "--check", "--config", file]);
        assert_eq!(code, 1, "{compress}");
        assert!(stderr.contains(&format!(":{place}")), "{compress}: {stderr}");
        assert!(stderr.contains(said), "{compress}: {stderr}");
    }
}
