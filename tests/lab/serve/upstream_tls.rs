//! TLS with backends.

use std::path::Path;

use rcgen::date_time_ymd;
use serde_json::Value;

use crate::support::certificates::{Authority, Issued};
use crate::support::secure::{SecureFront, server};
use crate::support::{Answer, Balancer, Client, Upstream, get};

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
        ("for clients", client_only, "purpose"),
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
