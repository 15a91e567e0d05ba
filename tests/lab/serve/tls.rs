//! TLS with clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::certificates::{Authority, Files, Secured, Trust};
use crate::support::{Balancer, Client, Upstream};

/// A folder with a configuration and the certificates that it names.
struct Place {
    folder: TempDir,
    authority: Authority,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("authority") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate of the authority for these names, in files named after the first.
    fn issue(&self, names: &[&str]) -> Files {
        self.authority.issue(names).write(self.path(), &names[0].replace('*', "any"))
    }

    fn write(&self, text: &str) -> PathBuf {
        let file = self.path().join("lab.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// A load balancer with one listener over TLS, these keys in `[listener.tls]` and
    /// this for the rest.
    fn serve(&self, tls: &str, rest: &str) -> (Balancer, SocketAddr) {
        let text =
            format!("[[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\n{tls}\n{rest}\n");
        let (balancer, addresses) = Balancer::listening(&self.write(&text));
        (balancer, addresses[0])
    }

    fn trust(&self) -> Trust {
        Trust::in_authority(&self.authority)
    }
}

fn pool(upstream: &Upstream) -> String {
    format!("[[pool]]\n[[pool.backend]]\nname = 'one'\naddress = '{}'\n", upstream.address)
}

fn certificates(files: &[&Files]) -> String {
    let files: Vec<_> = files.iter().map(|files| files.toml()).collect();
    format!("certificates = [{}]", files.join(", "))
}

/// The certificate that the server has shown.
fn shown(secured: &Secured) -> Vec<u8> {
    secured.conn.peer_certificates().expect("certificates")[0].to_vec()
}

#[test]
fn each_name_gets_its_certificate_and_the_others_the_first() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    // The first is for every name that is asked for, so that the test can look at it.
    let first = place.authority.issue(&["first.test", "127.0.0.1", "a.b.wild.test", "none.test"]);
    let exact = place.authority.issue(&["exact.wild.test"]);
    let wild = place.authority.issue(&["*.wild.test"]);
    let files = [
        first.write(place.path(), "first"),
        exact.write(place.path(), "exact"),
        wild.write(place.path(), "wild"),
    ];
    let tls = certificates(&[&files[0], &files[1], &files[2]]);
    let (_balancer, address) = place.serve(&tls, &pool(&upstream));
    for (name, issued) in [
        ("first.test", &first),
        ("exact.wild.test", &exact),
        ("EXACT.Wild.test", &exact),
        ("other.wild.test", &wild),
        ("a.b.wild.test", &first),
        ("none.test", &first),
        ("127.0.0.1", &first),
    ] {
        let secured = place.trust().connect(address, name).unwrap();
        assert_eq!(shown(&secured), issued.certificate().to_vec(), "{name}");
        let mut client = Client::from(secured);
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().text(), "one", "{name}");
    }
}

#[test]
fn versions_are_1_2_and_1_3_and_nothing_older() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let (_balancer, address) = place.serve(&certificates(&[&files]), &pool(&upstream));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let secured = place.trust().only(version).connect(address, "a.test").unwrap();
        assert_eq!(secured.conn.protocol_version(), Some(version.version));
        let mut client = Client::from(secured);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().unwrap().text(), "one");
    }
    // The same words from a client that speaks 1.2 at most, and from one that speaks 1.1.
    for (minor, answer) in [(3, &[22, 3, 3][..]), (2, &[21, 3, 3, 0, 2, 2, 70])] {
        let mut client = Client::connect(address);
        client.send(hello(minor));
        let mut bytes = [0; 7];
        let count = client.read(&mut bytes).unwrap();
        // A handshake goes on; or an alert comes, fatal: protocol_version.
        assert!(bytes[..count].starts_with(answer), "{minor}: {bytes:?}");
    }
}

/// The first message of a client that speaks TLS 1.(`minor` - 1) at most (RFC 5246,
/// section 7.4.1.2).
fn hello(minor: u8) -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let points = [0, 11, 0, 2, 1, 0];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let extensions = [&groups[..], &points, &signatures].concat();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let ciphers = [0xc0, 0x2b, 0xc0, 0x09, 0x00, 0x2f];
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.extend([0, 0, length(&ciphers)]);
    body.extend(ciphers);
    body.extend([1, 0, 0, length(&extensions)]);
    body.extend(extensions);
    let handshake = [&[1, 0, 0, length(&body)], body.as_slice()].concat();
    [&[22, 3, 1, 0, length(&handshake)], handshake.as_slice()].concat()
}

#[test]
fn the_protocol_is_agreed_on_by_alpn() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let text = certificates(&[&files]);
    let (balancer, address) = place.serve(&text, &pool(&upstream));
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let secured = place.trust().speaking(offered).connect(address, "a.test").unwrap();
        assert_eq!(secured.conn.alpn_protocol(), agreed, "{offered:?}");
    }
    let refused = place.trust().speaking(&["spdy/3"]).connect(address, "a.test");
    assert!(refused.is_err(), "RFC 7301, section 3.2: no_application_protocol");
    drop(balancer);

    // Without HTTP/2.
    let listener = "[[listener]]\naddress = '127.0.0.1:0'\nhttp2 = false\n[listener.tls]\n";
    let file = place.write(&format!("{listener}{text}\n{}", pool(&upstream)));
    let (_balancer, addresses) = Balancer::listening(&file);
    let secured =
        place.trust().speaking(&["h2", "http/1.1"]).connect(addresses[0], "a.test").unwrap();
    assert_eq!(secured.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

/// What comes of a request over this connection; with TLS 1.3 a server refuses a
/// client's certificate after the client has done with the handshake.
fn exchange(secured: std::io::Result<Secured>) -> Option<String> {
    let mut client = Client::from(secured.ok()?);
    client.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut bytes = [0; 4096];
    let count = client.read(&mut bytes).ok().filter(|count| *count > 0)?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

#[test]
fn clients_show_certificates_of_the_right_authority_where_they_must() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let ours = Authority::new("clients");
    let good = ours.issue(&["client"]);
    let foreign = Authority::new("others").issue(&["client"]);
    let ca = ours.write(place.path(), "clients");
    for (wanted, without) in [("optional", true), ("required", false)] {
        let tls = format!(
            "{}\nclient_certificates = '{wanted}'\nclient_ca = '{}'",
            certificates(&[&files]),
            ca.display()
        );
        let (_balancer, address) = place.serve(&tls, &pool(&upstream));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let ask = |trust: Trust| exchange(trust.only(version).connect(address, "a.test"));
            let answer = ask(place.trust().showing(&good)).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert_eq!(ask(place.trust().showing(&foreign)), None, "{wanted}");
            assert_eq!(ask(place.trust()).is_some(), without, "{wanted}");
        }
    }
    let count = upstream.received().len();
    assert_eq!(count, 6, "two with each version, two more where none is needed");

    // Nobody is asked for one unless the configuration says so.
    let (_balancer, address) = place.serve(&certificates(&[&files]), &pool(&upstream));
    assert!(exchange(place.trust().showing(&foreign).connect(address, "a.test")).is_some());
}

#[test]
fn plain_text_on_a_tls_port_ends_at_once_and_silence_in_time() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let rest = format!("[limits]\nhandshake_timeout = '700ms'\n{}", pool(&upstream));
    let (_balancer, address) = place.serve(&certificates(&[&files]), &rest);

    let begun = Instant::now();
    let mut plain = Client::connect(address);
    plain.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // An alert may come first, and a reset may come instead of an end.
    let _ = plain.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() < Duration::from_millis(650), "{:?}", begun.elapsed());

    for beginning in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let begun = Instant::now();
        let mut silent = Client::connect(address);
        silent.send(beginning);
        assert!(silent.is_closed());
        let waited = begun.elapsed();
        assert!(
            (Duration::from_millis(600)..Duration::from_secs(5)).contains(&waited),
            "{waited:?}"
        );
    }
    assert!(upstream.received().is_empty());
}
