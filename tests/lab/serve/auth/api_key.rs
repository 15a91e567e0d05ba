//! Keys of programs.

use sha2::{Digest as _, Sha256};

use super::{assert_unauthorized, guarded};
use crate::support::{Reloadable, Upstream, get};

const CHALLENGE: &str = "ApiKey realm=\"restricted\"";

fn line(name: &str, key: &str) -> String {
    let hex: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{hex}\n")
}

fn start(upstream: &Upstream, more: &str) -> Reloadable {
    Reloadable::start_with(&[("keys", &line("acme", "key-of-acme"))], |folder| {
        let file = folder.join("keys");
        let policy = format!(
            "[auth.who]\n{more}\n[auth.who.api_key]\nfile = '{}'\nquery = 'key'\n\
             keys = {{ build = 'a key of build, long' }}\n",
            file.display()
        );
        guarded(upstream, &policy)
    })
}

#[test]
fn a_key_says_who_comes_and_goes_no_further() {
    let upstream = Upstream::named("app");
    let mut lab = start(&upstream, "");
    let address = lab.balancer.address;
    for (path, fields, user, sent) in [
        ("/x?a=%20b", &["X-Api-Key: key-of-acme"][..], "acme", "GET /x?a=%20b HTTP/1.1"),
        ("/x", &["x-api-key: a key of build, long"], "build", "GET /x HTTP/1.1"),
        ("/x?a=1&key=key-of-acme&b", &[], "acme", "GET /x?a=1&b HTTP/1.1"),
        ("/x/../y?%6bey=key%2dof-acme", &[], "acme", "GET /y HTTP/1.1"),
    ] {
        assert_eq!(get(address, path, fields).status, 200, "{path}");
        let received = upstream.received().pop().unwrap();
        assert_eq!(received.values("x-auth-user"), [user], "{path}");
        assert_eq!(received.line, sent);
        assert!(received.values("x-api-key").is_empty(), "{path}");
    }
    for (path, fields) in [
        ("/x", &[][..]),
        ("/x", &["X-Api-Key: key-of-acm"]),
        ("/x", &["X-Api-Key:"]),
        ("/x", &["X-Api-Key: key-of-acme", "X-Api-Key: key-of-acme"]),
        ("/x?key=key-of-acme", &["X-Api-Key: key-of-acme"]),
        ("/x?key=key-of-acme&key=key-of-acme", &[]),
        ("/x?key=", &[]),
        ("/x?Key=key-of-acme", &[]),
        ("/fixed", &["Authorization: Bearer key-of-acme"]),
    ] {
        assert_unauthorized(&get(address, path, fields), CHALLENGE, &format!("{path} {fields:?}"));
    }
    assert_eq!(upstream.received().len(), 4);
    lab.balancer.program().signal(libc::SIGTERM);
    lab.balancer.program().wait();
    for line in lab.balancer.stderr() {
        assert!(!line.contains("key-of") && !line.contains("key%2dof"), "{line}");
    }
}

#[test]
fn a_key_is_passed_on_where_that_is_asked_for() {
    let upstream = Upstream::named("app");
    let lab = start(&upstream, "forward_credential = true");
    get(lab.balancer.address, "/x", &["X-Api-Key: key-of-acme"]);
    get(lab.balancer.address, "/x?key=key-of-acme", &[]);
    let received = upstream.received();
    assert_eq!(received[0].values("x-api-key"), ["key-of-acme"]);
    assert_eq!(received[1].line, "GET /x?key=key-of-acme HTTP/1.1");
}

#[test]
fn keys_are_read_again_when_their_file_changes() {
    let upstream = Upstream::named("app");
    let lab = start(&upstream, "");
    let address = lab.balancer.address;
    let status = |key: &str| get(address, "/x", &[&format!("X-Api-Key: {key}")]).status;
    assert_eq!((status("key-of-acme"), status("key-of-new")), (200, 401));
    lab.write_file("keys", "new:key-of-new\n");
    let refused = lab.wait_for_reload("was not reloaded");
    assert!(
        refused["reason"].as_str().unwrap().contains("keys:1: what follows the name"),
        "{refused}"
    );
    assert_eq!(status("key-of-acme"), 200);
    lab.write_file("keys", &line("new", "key-of-new"));
    lab.wait_for_reload("was reloaded");
    assert_eq!((status("key-of-acme"), status("key-of-new")), (401, 200));
    assert_eq!(status("a key of build, long"), 200);
}
