//! TLS with clients.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::certificates::{Authority, Files, Secured, Trust, replace};
use crate::support::http2::Http2;
use crate::support::{Balancer, Client, Program, Upstream};

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
    let within = |handshake: &str| {
        let rest = format!("[limits]\nhandshake_timeout = '{handshake}'\n{}", pool(&upstream));
        place.serve(&certificates(&[&files]), &rest)
    };

    // It is not the time for the handshake that ends it.
    let (_balancer, address) = within("1h");
    let mut plain = Client::connect(address);
    plain.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // An alert may come first, and a reset may come instead of an end.
    let end = plain.read_to_end(&mut Vec::new());
    let late = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    assert!(!end.is_err_and(|error| late.contains(&error.kind())), "it is still held");

    let (_balancer, address) = within("700ms");
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

/// Sends bytes one after the other for as long as anybody takes them, and returns all
/// that comes back, up to the end.
fn drip(client: &mut Client, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let begun = Instant::now();
    client.sender().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    for byte in bytes {
        client.try_send([byte]);
        match client.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // A reset, or an end without a word.
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody ends it");
    }
    answer
}

#[test]
fn a_header_that_comes_byte_by_byte_inside_tls_is_408_in_time() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let rest = format!("[limits]\nheader_timeout = '500ms'\n{}", pool(&upstream));
    let (_balancer, address) = place.serve(&certificates(&[&files]), &rest);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for earlier in 0..2 {
            let mut begun = Instant::now();
            let mut client =
                Client::from(place.trust().only(version).connect(address, "a.test").unwrap());
            for _ in 0..earlier {
                assert_eq!(client.get("/whole", &[]).text(), "one");
                begun = Instant::now();
            }
            client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\nX: ");
            let answer = drip(&mut client, std::iter::repeat(b'x'));
            let took = begun.elapsed();
            let text = String::from_utf8_lossy(&answer);
            assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("client_timeout"), "{text}");
            let in_time = Duration::from_millis(450)..Duration::from_secs(5);
            assert!(in_time.contains(&took), "{took:?}");
        }
    }
    assert!(upstream.received().iter().all(|request| request.line.contains("/whole")));
}

#[test]
fn a_handshake_that_comes_byte_by_byte_ends_in_time_and_is_counted() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let rest = format!(
        "[limits]\nhandshake_timeout = '500ms'\nheader_timeout = '1h'\n\
         [admin]\naddress = '127.0.0.1:0'\n{}",
        pool(&upstream)
    );
    let (balancer, address) = place.serve(&certificates(&[&files]), &rest);
    let admin = balancer.admin();
    let failed = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        admin.metrics().sum("pingora_lab_tls_handshakes_failed_total", &[&reason])
    };
    for count in 1..=2 {
        let begun = Instant::now();
        let mut slow = Client::connect(address);
        // It would last for some seconds.
        drip(&mut slow, hello(3).into_iter().chain(std::iter::repeat(0)));
        let took = begun.elapsed();
        let in_time = Duration::from_millis(450)..Duration::from_secs(5);
        assert!(in_time.contains(&took), "{took:?}");
        // It is counted before its connection is closed.
        assert_eq!((failed("timeout"), failed("failed")), (f64::from(count), 0.0));
    }
    let mut quick = Client::from(place.trust().connect(address, "a.test").unwrap());
    assert_eq!(quick.get("/", &[]).text(), "one");
    assert_eq!((failed("timeout"), failed("failed")), (2.0, 0.0));
}

/// A connection over HTTP/2 and TLS.
async fn http2(trust: &Trust, address: SocketAddr, name: &'static str) -> Http2 {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(trust.config());
    let name = rustls::pki_types::ServerName::try_from(name).unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    Http2::over(stream, &h2::client::Builder::new()).await
}

#[test]
fn requests_come_over_http2_and_backends_learn_that_it_was_tls() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let (_balancer, address) = place.serve(&certificates(&[&files]), &pool(&upstream));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = http2(&place.trust().speaking(&["h2"]), address, "a.test").await;
        for _ in 0..3 {
            let request = http::Request::get("https://a.test/x?y=z").body(()).unwrap();
            let answer = client.ask(request).await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"one"[..]));
        }
    });
    let mut client = Client::from(place.trust().connect(address, "a.test").unwrap());
    assert_eq!(client.get("/", &["x-forwarded-proto: http"]).text(), "one");
    for received in upstream.received() {
        assert_eq!(received.values("x-forwarded-proto"), ["https"], "{}", received.line);
    }
    assert_eq!(upstream.received()[0].values("x-forwarded-host"), ["a.test"]);
}

#[test]
fn plain_requests_are_sent_to_https_and_only_https_promises_to_stay() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\nredirect_to_https = 8443\n\
         [[listener]]\naddress = '127.0.0.1:0'\nredirect_to_https = 443\n\
         [[listener]]\naddress = '127.0.0.1:0'\n\
         [[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\n{}\n\
         hsts = {{ max_age = '365days', include_subdomains = true }}\n\
         {}[[route]]\nprefix = '/one'\npool = 'default'\n",
        certificates(&[&files]),
        pool(&upstream),
    );
    let (balancer, addresses) = Balancer::listening(&place.write(&text));
    let [other_port, usual_port, plain, secure] = addresses[..] else { panic!("{addresses:?}") };
    // The first screen says which is which.
    for (scheme, address) in [("http", plain), ("https", secure)] {
        let line = format!("Listening on {scheme}://{address}");
        balancer.stdout_line(|shown| (shown == line).then_some(()));
    }
    for (address, request, location) in [
        (
            other_port,
            "GET /a/b?c=d%20e&f HTTP/1.1\r\nHost: A.test:80",
            "https://a.test:8443/a/b?c=d%20e&f",
        ),
        (
            other_port,
            "POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: a.test",
            "https://a.test:8443/",
        ),
        (usual_port, "GET /one HTTP/1.1\r\nHost: a.test:8080", "https://a.test/one"),
        (usual_port, "GET /%2e%2e/x HTTP/1.1\r\nHost: [::1]:80", "https://[::1]/%2e%2e/x"),
        (usual_port, "GET http://b.test/y?z HTTP/1.1\r\nHost: b.test", "https://b.test/y?z"),
        (other_port, "OPTIONS * HTTP/1.1\r\nHost: a.test", "https://a.test:8443/"),
    ] {
        let answer = crate::support::ask(address, format!("{request}\r\n\r\n"));
        assert_eq!(answer.status, 308, "{request}");
        let found = answer.header("location").unwrap();
        assert_eq!(found.to_ascii_lowercase(), location.to_ascii_lowercase(), "{request}");
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    let nowhere = crate::support::ask(usual_port, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(nowhere.status, 400, "nobody knows where it belongs");

    let trust = place.trust();
    let promise = Some("max-age=31536000; includeSubDomains");
    // An answer of a backend, one of our own, and a refusal before any route.
    for (path, fields, status) in
        [("/one", "Host: a.test", 200), ("/", "Host: a.test", 404), ("/", "Host: a b", 400)]
    {
        let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n\r\n");
        let mut client = Client::from(trust.connect(secure, "a.test").unwrap());
        client.send(&request);
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("strict-transport-security"), promise, "{path} {fields}");
        // RFC 6797, section 7.2: not over plain HTTP.
        let answer = crate::support::ask(plain, &request);
        assert_eq!(answer.header("strict-transport-security"), None, "{path} {fields}");
    }
    assert_eq!(upstream.received().len(), 2, "what is redirected goes nowhere");
}

/// The listener's promise, then what policies say, then the rules, then CORS: so rules
/// can change the first two and not the last, in the answers of backends as in our own.
#[test]
fn rules_change_what_any_answer_says_and_cors_has_the_last_word() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let ruled = "cors = 'pages'\nrate_limit = ['many']\n[route.headers.response]\n\
                 remove = ['strict-transport-security', 'ratelimit-policy']\n\
                 set = { ratelimit = 'ruled', vary = 'Accept', \
                         access-control-allow-origin = 'ruled' }\n";
    let kinds = [
        ("/backend", "pool = 'default'", 200),
        ("/fixed", "answer = { body = 'x' }", 200),
        ("/elsewhere", "redirect = { host = 'b.test' }", 308),
        ("/closed", "pool = 'default'\naccess = ['nobody']", 403),
    ];
    let routes: String = kinds
        .map(|(path, does, _)| {
            format!(
                "[[route]]\nprefix = '{path}'\n{does}\n{ruled}\
                 [[route]]\nprefix = '/bare{path}'\n{does}\nrate_limit = ['many']\n"
            )
        })
        .concat();
    let (_balancer, address) = place.serve(
        &format!("{}\nhsts = {{ max_age = '1days' }}", certificates(&[&files])),
        &format!(
            "[cors.pages]\norigins = ['https://p.test']\n[access.nobody]\ndeny = ['0.0.0.0/0']\n\
             [rate_limit.many]\nrequests = 1000\nper = '1s'\nfields = 'all'\n{}{routes}",
            pool(&upstream)
        ),
    );
    let trust = place.trust();
    let ask = |path: &str| {
        let mut client = Client::from(trust.connect(address, "a.test").unwrap());
        client.get(path, &["Origin: https://p.test"])
    };
    for (path, _, status) in kinds {
        let ruled = ask(path);
        assert_eq!(ruled.status, status, "{path}");
        for removed in ["strict-transport-security", "ratelimit-policy"] {
            assert_eq!(ruled.header(removed), None, "{path}");
        }
        assert_eq!((ruled.header("ratelimit"), ruled.count("ratelimit")), (Some("ruled"), 1));
        let origin = (ruled.header("access-control-allow-origin"), ruled.count("vary"));
        assert_eq!(origin, (Some("https://p.test"), 2), "{path}: {ruled:?}");

        let bare = ask(&format!("/bare{path}"));
        assert_eq!(bare.status, status, "{path}");
        assert_eq!(bare.header("strict-transport-security"), Some("max-age=86400"), "{path}");
        assert_eq!(bare.count("ratelimit-policy"), usize::from(status != 403), "{path}");
    }
}

#[test]
fn certificates_are_read_again_when_their_files_change() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let [first, second, third] = [1, 2, 3].map(|_| place.authority.issue(&["a.test"]));
    let files = first.write(place.path(), "a");
    let (balancer, address) = place.serve(&certificates(&[&files]), &pool(&upstream));
    let now = || shown(&place.trust().connect(address, "a.test").unwrap());
    let wait = |what: &str, count: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = balancer.stderr();
            let found = lines.iter().filter(|line| line.contains(what)).count();
            if found >= count {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {lines:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let mut open = Client::from(place.trust().connect(address, "a.test").unwrap());
    assert_eq!(open.get("/", &[]).text(), "one");
    assert_eq!(now(), first.certificate().to_vec());

    // The certificate first, which does not fit the old key; then the key, and it does.
    second.write_certificate(&files);
    wait("is not the key of the certificate", 1);
    assert_eq!(now(), first.certificate().to_vec(), "what does not fit changes nothing");
    second.write_key(&files);
    wait("the configuration was reloaded", 1);
    assert_eq!(now(), second.certificate().to_vec());

    replace(&files.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    wait("is no valid certificate", 1);
    assert_eq!(now(), second.certificate().to_vec(), "a broken file changes nothing");
    replace(&files.key, "");
    std::fs::remove_file(&files.certificate).unwrap();
    assert_eq!(now(), second.certificate().to_vec(), "nor does one that is gone");
    third.write_key(&files);
    third.write_certificate(&files);
    wait("the configuration was reloaded", 2);
    assert_eq!(now(), third.certificate().to_vec());

    assert_eq!(open.get("/", &[]).text(), "one", "the connection has stayed through all of it");
}

#[test]
fn files_that_cannot_be_used_are_errors_with_their_place() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let (a, b) = (place.issue(&["a.test"]), place.issue(&["b.test"]));
    let empty = place.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let wrong = |certificate: &Path, key: &Path| Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let missing = place.path().join("missing.pem");
    for (files, column, said) in [
        (wrong(&a.certificate, &b.key), "key", "give the two that belong together"),
        (wrong(&b.certificate, &a.key), "key", "give the two that belong together"),
        (wrong(&missing, &a.key), "certificate", "cannot read"),
        (wrong(&empty, &a.key), "certificate", "holds no certificate"),
        (wrong(&a.certificate, &empty), "key", "holds no private key"),
        (wrong(&a.certificate, &a.certificate), "key", "holds no private key"),
    ] {
        let tls = certificates(&[&a, &files]);
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[listener.tls]\n{tls}\n{}",
            pool(&upstream)
        );
        let file = place.write(&text);
        let (code, stdout, stderr) =
            Program::run(["serve", "--check", "--config", file.to_str().unwrap()]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        // The value of the second pair.
        let path = if column == "key" { &files.key } else { &files.certificate };
        let value = tls.rfind(&format!("'{}'", path.display())).unwrap();
        let place = format!("lab.toml:4:{}: ", value + 1);
        assert!(stderr.contains(&place) && stderr.contains(said), "{place}{said}: {stderr}");
    }
}

#[test]
fn backends_learn_who_a_client_is_and_not_from_the_client() {
    let (place, upstream) = (Place::new(), Upstream::named("one"));
    let files = place.issue(&["a.test"]);
    let clients = Authority::new("clients");
    let known = clients.issue(&["known client"]);
    let tls = format!(
        "{}\nclient_certificates = 'optional'\nclient_ca = '{}'",
        certificates(&[&files]),
        clients.write(place.path(), "clients").display()
    );
    let rules = "[headers.request]\nset = { x-verified = '$client_cert_verified', \
                 x-subject = '$client_cert_subject', x-print = '$client_cert_fingerprint' }\n";
    let (_balancer, address) = place.serve(&tls, &format!("{rules}{}", pool(&upstream)));
    let forged = &["x-verified: true", "x-subject: CN=admin", "x-print: 00"];
    for trust in [place.trust(), place.trust().showing(&known)] {
        let mut client = Client::from(trust.connect(address, "a.test").unwrap());
        assert_eq!(client.get("/", forged).text(), "one");
    }
    let received = upstream.received();
    let values = |index: usize| {
        ["x-verified", "x-subject", "x-print"].map(|name| received[index].values(name))
    };
    assert_eq!(values(0), [vec!["false"], vec![], vec![]]);
    let [verified, subject, print] = values(1);
    assert_eq!(verified, ["true"]);
    assert!(subject[0].contains("CN=known client"), "{subject:?}");
    assert!(print[0].len() == 64 && print.len() == 1, "{print:?}");
}
