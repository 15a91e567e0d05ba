//! TLS with backends.

use std::path::Path;

use rcgen::date_time_ymd;
use serde_json::Value;

use crate::support::certificates::{Authority, Files, Issued, replace};
use crate::support::secure::{SecureFront, server};
use crate::support::{Answer, Balancer, Client, Program, Upstream, get};

/// A pool of one backend, whose `[pool.tls]` has these keys.
fn pool(address: std::net::SocketAddr, name: &str, tls: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("name = '{name}'\n") };
    format!(
        "[[pool]]\ntls = {{ {tls} }}\n[pool.circuit_breaker]\nenabled = false\n\
         [[pool.backend]]\naddress = '{address}'\n{name}"
    )
}

fn ca(path: &Path) -> String {
    format!("ca = '{}'", path.display())
}

/// A backend over TLS that shows this certificate.
fn secured(issued: &Issued) -> (Upstream, SecureFront) {
    let upstream = Upstream::named("one");
    let front = SecureFront::over(&upstream, server(issued, None, &[]));
    (upstream, front)
}

/// The reason that the program says an answer of its own has.
fn reason(answer: &Answer) -> String {
    answer.json()["error"]["reason"].as_str().unwrap().to_owned()
}

/// What the log says of a TLS failure.
fn trouble(balancer: &Balancer) -> String {
    balancer.event(|event: &Value| {
        (event["target"] == "tls" && event["level"] == "WARN")
            .then(|| event["reason"].as_str().map(str::to_owned))?
    })
}

#[test]
fn the_right_certificate_passes_by_name_by_sni_and_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let trusted = ca(&authority.write(folder.path(), "ca"));
    for (san, name, sni, asked) in [
        ("backend.test", "backend.test", "", Some("backend.test")),
        ("other.test", "backend.test", "sni = 'Other.test'", Some("other.test")),
        // RFC 6066, section 3: an address is not asked for; it is verified all the same.
        ("", "", "", None),
    ] {
        let upstream = Upstream::named("one");
        let ip = upstream.address.ip().to_string();
        let issued = authority.issue(&[if san.is_empty() { &ip } else { san }]);
        let front = SecureFront::over(&upstream, server(&issued, None, &[]));
        let tls = if sni.is_empty() { trusted.clone() } else { format!("{trusted}, {sni}") };
        let balancer = Balancer::configured(&pool(front.address, name, &tls));
        let mut client = Client::connect(balancer.address);
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
            assert_eq!(client.answer().unwrap().text(), "one", "{san} {name} {sni}");
        }
        let handshakes = front.handshakes();
        assert_eq!(handshakes.len(), 1, "the connection is used again");
        assert_eq!(handshakes[0].name.as_deref(), asked);
        let received = upstream.received();
        assert_eq!(received[0].values("x-forwarded-proto"), ["http"]);
        let host = if name.is_empty() { "shop.test" } else { name };
        assert_eq!(received[0].values("host"), [host]);
    }
}

#[test]
fn any_other_certificate_is_refused_unless_nothing_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let trusted = ca(&authority.write(folder.path(), "ca"));
    let expired = authority.issue_with(&["backend.test"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let early = authority.issue_with(&["backend.test"], |params| {
        params.not_before = date_time_ymd(2400, 1, 1);
        params.not_after = date_time_ymd(2401, 1, 1);
    });
    let client_only = authority.issue_with(&["backend.test"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (what, issued, said) in [
        ("another name", authority.issue(&["other.test"]), "not valid for name"),
        ("another authority", Authority::new("foreign").issue(&["backend.test"]), "UnknownIssuer"),
        ("expired", expired, "expired"),
        ("not valid yet", early, "not valid yet"),
        ("self-signed", Issued::self_signed(&["backend.test"]), "UnknownIssuer"),
        ("for clients", client_only, "extended key usage"),
    ] {
        let (upstream, front) = secured(&issued);
        let balancer = Balancer::configured(&pool(front.address, "backend.test", &trusted));
        let answer = get(balancer.address, "/", &["Host: x", "x-request-id: one"]);
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "tls_failed"), "{what}");
        assert_eq!(balancer.access("one")["reason"], "tls_failed", "{what}");
        let trouble = trouble(&balancer);
        assert!(trouble.contains(said), "{what}: {trouble}");
        assert!(upstream.received().is_empty(), "{what}");

        let careless = pool(front.address, "backend.test", "verify = false");
        let balancer = Balancer::configured(&careless);
        assert_eq!(get(balancer.address, "/", &["Host: x"]).text(), "one", "{what}");
    }
    // The machine's own authorities, where none are named, do not know ours either.
    let (_upstream, front) = secured(&authority.issue(&["backend.test"]));
    let balancer = Balancer::configured(&pool(front.address, "backend.test", "enabled = true"));
    assert_eq!(reason(&get(balancer.address, "/", &["Host: x"])), "tls_failed");
    let balancer = Balancer::configured(&pool(front.address, "backend.test", "enabled = false"));
    assert_eq!(get(balancer.address, "/", &["Host: x"]).status, 502, "plain text to a TLS port");
}

/// A pool of this name, backend and TLS, and the route of its name to it.
fn routed(pool: &str, address: std::net::SocketAddr, tls: &str) -> String {
    format!(
        "[[pool]]\nname = '{pool}'\ntls = {{ {tls}, sni = 'backend.test' }}\n\
         circuit_breaker = {{ enabled = false }}\n[[pool.backend]]\naddress = '{address}'\n\
         [[route]]\npath = '/{pool}'\npool = '{pool}'\n"
    )
}

/// The status of an answer of the route, once the connection to the backend can be used
/// by others.
fn ask(balancer: &Balancer, route: &str, turn: usize) -> u16 {
    let id = format!("{route}-{turn}");
    let status =
        get(balancer.address, &format!("/{route}"), &[&format!("x-request-id: {id}")]).status;
    balancer.access(&id);
    status
}

#[test]
fn a_certificate_is_shown_to_backends_that_ask_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let trusted = ca(&authority.write(folder.path(), "ca"));
    let (good, foreign) = (clients.issue(&["lb"]), authority.issue(&["lb"]));
    let upstream = Upstream::named("one");
    let issued = authority.issue(&["backend.test"]);
    let front = SecureFront::over(&upstream, server(&issued, Some(&clients), &[]));
    let shown = |issued: &Issued, name: &str| {
        let files = issued.write(folder.path(), name);
        format!("{trusted}, client_certificate = {}", files.toml())
    };
    // To the same address and by the same name: a connection that was made with a
    // certificate must not be there for who has none.
    let balancer = Balancer::configured(&format!(
        "{}{}{}",
        routed("good", front.address, &shown(&good, "good")),
        routed("none", front.address, &trusted),
        routed("foreign", front.address, &shown(&foreign, "foreign")),
    ));
    for turn in 0..2 {
        for (path, status) in [("good", 200), ("none", 502), ("foreign", 502)] {
            assert_eq!(ask(&balancer, path, turn), status, "{turn} {path}");
        }
    }
    let handshakes = front.handshakes();
    assert_eq!(handshakes[0].shown, Some(good.certificate().to_vec()));
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn pools_that_trust_others_share_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (_upstream, front) = secured(&ours.issue(&["backend.test"]));
    let balancer = Balancer::configured(&format!(
        "{}{}{}{}",
        routed("right", front.address, &ca(&ours.write(folder.path(), "ours"))),
        routed("wrong", front.address, &ca(&other.write(folder.path(), "other"))),
        routed("system", front.address, "verify = true"),
        routed("careless", front.address, "verify = false"),
    ));
    for turn in 0..2 {
        for (path, status) in [("careless", 200), ("right", 200), ("wrong", 502), ("system", 502)] {
            assert_eq!(ask(&balancer, path, turn), status, "{turn} {path}");
        }
    }
}

#[test]
fn health_is_checked_over_the_same_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let trusted = ca(&ours.write(folder.path(), "ours"));
    let check = "health_check = { kind = 'http', path = '/up', interval = '100ms', \
                 unhealthy_interval = '100ms' }\n";
    let text =
        |address| pool(address, "backend.test", &trusted).replacen('\n', &format!("\n{check}"), 1);

    let (upstream, front) = secured(&ours.issue(&["backend.test"]));
    let balancer = Balancer::configured(&text(front.address));
    assert_eq!(get(balancer.address, "/", &[]).text(), "one");
    assert!(upstream.received()[0].line.starts_with("GET /up "));
    assert_eq!(front.handshakes()[0].name.as_deref(), Some("backend.test"));

    let (upstream, front) = secured(&other.issue(&["backend.test"]));
    let balancer = Balancer::configured(&text(front.address));
    let said = balancer.event(|event| {
        (event["target"] == "health" && event["message"] == "backend is unhealthy")
            .then(|| event["reason"].as_str().map(str::to_owned))?
    });
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(reason(&get(balancer.address, "/", &[])), "no_healthy_backend");
    assert!(upstream.received().is_empty());
}

#[test]
fn authorities_are_read_again_when_their_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let file = other.write(folder.path(), "ca");
    let (_upstream, front) = secured(&ours.issue(&["backend.test"]));
    let text = pool(front.address, "backend.test", &ca(&file));
    let lab = folder.path().join("lab.toml");
    std::fs::write(&lab, format!("[[listener]]\naddress = '127.0.0.1:0'\n{text}")).unwrap();
    let (balancer, _) = Balancer::listening(&lab);
    assert_eq!(reason(&get(balancer.address, "/", &[])), "tls_failed");
    let reloaded = |what: &str| {
        balancer.event(|event| {
            let message = event["message"].as_str()?;
            (event["target"] == "reload" && message.contains(what))
                .then(|| event["reason"].as_str().unwrap_or_default().to_owned())
        })
    };
    replace(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let why = reloaded("not reloaded");
    assert!(why.contains(file.to_str().unwrap()), "{why}");
    ours.write(folder.path(), "ca");
    reloaded("was reloaded");
    assert_eq!(get(balancer.address, "/", &[]).text(), "one");
}

#[test]
fn what_cannot_be_meant_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let trusted = ca(&authority.write(folder.path(), "ca"));
    let (a, b) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let (a, b) = (a.write(folder.path(), "a"), b.write(folder.path(), "b"));
    let mixed = Files { certificate: a.certificate, key: b.key };
    let key = mixed.key.display().to_string();
    for (tls, name, place, said) in [
        ("ca = '/nowhere.pem'".to_owned(), "a", "2:14", "cannot read /nowhere.pem"),
        (format!("ca = '{key}'"), "a", "2:14", "holds no certificate"),
        (format!("{trusted}, verify = false"), "a", "2:14", "remove verify = false, or ca"),
        (format!("client_certificate = {}", mixed.toml()), "a", "2:", "is not the key of"),
        (trusted.clone(), "a..b", "5:1", "give the pool's tls an sni"),
        ("sni = '10.0.0.1'".to_owned(), "a", "2:15", "no DNS name"),
        ("sin = 'a'".to_owned(), "a", "2:9", "did you mean `sni`?"),
    ] {
        let file = folder.path().join("lab.toml");
        std::fs::write(&file, pool(([127, 0, 0, 1], 1).into(), name, &tls)).unwrap();
        let file = file.to_str().unwrap();
        let (code, stdout, stderr) = Program::run(["serve", "--check", "--config", file]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{tls}");
        assert!(stderr.contains(&format!("lab.toml:{place}")), "{tls}: {stderr}");
        assert!(stderr.contains(said), "{tls}: {stderr}");
    }
}
