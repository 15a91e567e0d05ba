//! Users and passwords.

use super::{assert_unauthorized, basic, guarded, user};
use crate::support::{Balancer, Client, Program, Reloadable, Upstream, ask, get};

const CHALLENGE: &str = "Basic realm=\"restricted\", charset=\"UTF-8\"";

fn start(upstream: &Upstream, users: &str, more: &str) -> Reloadable {
    Reloadable::start_with(&[("users", users)], |folder| {
        let file = folder.join("users");
        let policy = format!("[auth.who]\nbasic = {{ file = '{}' }}\n{more}", file.display());
        guarded(upstream, &policy)
    })
}

#[test]
fn whoever_shows_the_right_password_may_and_nobody_else() {
    let upstream = Upstream::named("app");
    let users = ["ann", "bö b"].map(|name| user(name, "pass:wörd")).concat() + &user("colon", ":");
    let lab = start(&upstream, &users, "");
    let address = lab.balancer.address;
    let mut client = Client::connect(address);
    for (name, password) in [("ann", "pass:wörd"), ("bö b", "pass:wörd"), ("colon", ":")] {
        for path in ["/x", "/x"] {
            assert_eq!(client.get(path, &[&basic(name, password)]).text(), "app", "{name}");
        }
        assert_eq!(client.get("/fixed", &[&basic(name, password)]).text(), "fixed", "{name}");
    }
    let lower = basic("ann", "pass:wörd").replace("Basic", "bASIC");
    assert_eq!(client.get("/x", &[&lower]).status, 200);
    let right = upstream.received();
    assert_eq!(right.len(), 7);
    let users: Vec<_> = right.iter().map(|received| received.values("x-auth-user")).collect();
    assert_eq!(users[0], ["ann"]);
    assert_eq!(users[2], ["bö b"]);
    assert!(right.iter().all(|received| received.values("authorization").is_empty()));
    let encoded = |text: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Authorization: Basic {text}")
    };
    let wrong = [
        ("no_credential", "X-Nothing: 1".to_owned()),
        ("no_credential", "Authorization: Bearer abc".to_owned()),
        ("no_credential", "Authorization: Basic".to_owned()),
        ("no_credential", "Authorization: Basicabc".to_owned()),
        ("wrong", basic("ann", "pass")),
        ("wrong", basic("ann", "")),
        ("wrong", basic("ann", "pass:wörd ")),
        ("wrong", basic("Ann", "pass:wörd")),
        ("wrong", basic("nobody", "pass:wörd")),
        ("wrong", basic("", "")),
        ("malformed", "Authorization: Basic %%%".to_owned()),
        ("malformed", basic("ann", "pass:wörd").trim_end_matches('=').to_owned() + "*"),
        ("malformed", encoded(b"ann")),
        ("malformed", encoded(b"ann:p\xe4ss")),
        ("malformed", encoded(b"ann:pass\0word")),
        ("malformed", encoded("x".repeat(4000).as_bytes())),
        ("several", format!("{0}\r\n{0}", basic("ann", "pass:wörd"))),
    ];
    for (number, (word, field)) in wrong.iter().enumerate() {
        let id = format!("wrong-{number}");
        let answer = client.get("/x", &[field, &format!("X-Request-Id: {id}")]);
        assert_unauthorized(&answer, CHALLENGE, field);
        let line = lab.balancer.access(&id);
        assert_eq!((&line["auth"], &line["reason"]), (&(*word).into(), &"unauthorized".into()));
    }
    assert_unauthorized(&client.get("/fixed", &[]), CHALLENGE, "an answer of the route's own");
    assert_eq!(client.get("/open", &[]).status, 200);
    assert_eq!(upstream.received().len(), 8, "no backend is touched by the others");
}

#[test]
fn nothing_secret_is_logged() {
    let upstream = Upstream::named("app");
    let mut lab = start(&upstream, &user("ann", "hunter2secret"), "");
    let right = basic("ann", "hunter2secret");
    get(lab.balancer.address, "/x", &[&right, "X-Request-Id: right"]);
    get(lab.balancer.address, "/x", &[&basic("ann", "hunter3secret"), "X-Request-Id: wrong"]);
    let line = lab.balancer.access("right");
    assert_eq!((&line["user"], &line["auth"]), (&"ann".into(), &serde_json::Value::Null));
    let line = lab.balancer.access("wrong");
    assert_eq!((&line["user"], &line["auth"]), (&serde_json::Value::Null, &"wrong".into()));
    lab.write_file("users", "ann:hunter2secret\n");
    lab.wait_for_reload("was not reloaded");
    lab.balancer.program().signal(libc::SIGTERM);
    lab.balancer.program().wait();
    for line in lab.balancer.stderr() {
        for secret in ["hunter2", "hunter3", &right[22..], "$2b$"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn a_body_that_nobody_wants_does_not_harm() {
    let upstream = Upstream::named("app");
    let lab = start(&upstream, &user("ann", "secret"), "");
    let body = "x".repeat(200_000);
    let request =
        format!("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_unauthorized(&ask(lab.balancer.address, request), CHALLENGE, "a body");
    assert!(upstream.received().is_empty());
}

#[test]
fn those_who_are_known_and_not_allowed_are_told_so() {
    let upstream = Upstream::named("app");
    let users = user("ann", "secret") + &user("bob", "secret");
    let lab = start(&upstream, &users, "allow_users = ['ann']\nrealm = 'Staff only'\n");
    let address = lab.balancer.address;
    assert_eq!(get(address, "/x", &[&basic("ann", "secret")]).status, 200);
    let answer = get(address, "/x", &[&basic("bob", "secret"), "X-Request-Id: bob"]);
    assert_eq!((answer.status, answer.count("www-authenticate")), (403, 0));
    assert_eq!(answer.json()["error"]["reason"], "not_permitted");
    let line = lab.balancer.access("bob");
    assert_eq!((&line["user"], &line["auth"]), (&"bob".into(), &"not_permitted".into()));
    let answer = get(address, "/x", &[&basic("bob", "wrong")]);
    assert_unauthorized(&answer, "Basic realm=\"Staff only\", charset=\"UTF-8\"", "bob");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn the_file_is_read_again_and_who_is_no_longer_in_it_is_out_at_once() {
    let upstream = Upstream::named("app");
    let (ann, bob) = (user("ann", "secret"), user("bob", "secret"));
    let lab = start(&upstream, &(ann.clone() + &bob), "");
    let address = lab.balancer.address;
    let status = |name: &str, password: &str| get(address, "/x", &[&basic(name, password)]).status;
    let wait_for = |result: &str, count: usize| {
        let seen = std::cell::Cell::new(0);
        lab.balancer.event(|event| {
            let fits = event["target"] == "reload" && event["message"].as_str()?.contains(result);
            seen.set(seen.get() + usize::from(fits));
            (seen.get() == count).then_some(())
        });
    };
    // Twice, so that both are remembered.
    for _ in 0..2 {
        assert_eq!((status("ann", "secret"), status("bob", "secret")), (200, 200));
    }
    lab.write_file("users", &format!("{ann}# bob has left\nbob:$apr1$x$y\n"));
    let refused = lab.wait_for_reload("was not reloaded");
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("users:3: user \"bob\": what stands for the password is MD5"),
        "{reason}"
    );
    assert!(reason.contains("lab.toml:2:18: "), "{reason}");
    assert_eq!(status("bob", "secret"), 200, "a broken file changes nothing");
    lab.write_file("users", "");
    wait_for("was not reloaded", 2);
    assert_eq!(status("bob", "secret"), 200, "nor does an empty one");
    lab.write_file("users", &ann);
    wait_for("the configuration was reloaded", 1);
    assert_eq!((status("ann", "secret"), status("bob", "secret")), (200, 401));
    lab.write_file("users", &user("ann", "changed"));
    wait_for("the configuration was reloaded", 2);
    assert_eq!((status("ann", "secret"), status("ann", "changed")), (401, 200));
}

#[test]
fn what_is_wrong_with_a_policy_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let upstream = Upstream::named("app");
    let file = users.display();
    for (content, policy, said) in [
        (Some("ann:secret\n"), format!("basic = {{ file = '{file}' }}"), "users:1: user \"ann\""),
        (None, format!("basic = {{ file = '{file}' }}"), "cannot read"),
        (Some(""), format!("basic = {{ file = '{file}' }}"), "no user in it"),
        (None, String::new(), "add basic, jwt or api_key"),
        (None, "api_key = {}\nbasic = { file = 'x' }".to_owned(), "there are basic and api_key"),
        (None, "api_key = { keys = { a = 'short' } }".to_owned(), "the key of \"a\" could be"),
        (None, "basic = { fiel = 'x' }".to_owned(), "did you mean `file`?"),
        (None, "basik = { file = 'x' }".to_owned(), "did you mean `basic`?"),
        (None, "user_header = 'host'".to_owned(), "another meaning"),
        (None, "realm = 'a\"b'".to_owned(), "no realm"),
        (
            None,
            "jwt = { algorithms = ['RS256'], secret = 'sesame' }".to_owned(),
            "RS256 is verified with a public key",
        ),
        (
            None,
            "jwt = { algorithms = ['HS256'], public_key = 'x' }".to_owned(),
            "HS256 is verified with a secret",
        ),
        (
            None,
            "jwt = { algorithms = ['HS256'], secret = 'sesame' }".to_owned(),
            "the secret has 6 bytes",
        ),
        (None, "jwt = { algorithms = ['none'], secret = 'x' }".to_owned(), "unknown word `none`"),
        (None, "jwt = { algorithms = [], secret = 'x' }".to_owned(), "name an algorithm"),
        (None, "jwt = { algorithms = ['HS256'] }".to_owned(), "add secret, public_key or jwks"),
        (
            None,
            "jwt = { algorithms = ['HS256'], secret = 'x', claim_headers = { a = 'x-auth-user' } }"
                .to_owned(),
            "set twice",
        ),
        (
            None,
            "jwt = { algorithms = ['HS256'], secret = 'x', leeway = '1h' }".to_owned(),
            "no leeway",
        ),
    ] {
        match content {
            Some(content) => std::fs::write(&users, content).unwrap(),
            None => drop(std::fs::remove_file(&users)),
        }
        let config = folder.path().join("lab.toml");
        std::fs::write(&config, guarded(&upstream, &format!("[auth.who]\n{policy}\n"))).unwrap();
        let config = config.to_str().unwrap();
        let (code, _, stderr) = Program::run(["serve", "--check", "--config", config]);
        assert_eq!(code, 1, "{policy}");
        assert!(stderr.contains(said), "{policy}: {stderr}");
        assert!(stderr.contains("lab.toml:"), "{policy}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{policy}: {stderr}");
    }
    let config = folder.path().join("lab.toml");
    let text = guarded(&upstream, "[auth.whom]\napi_key = { keys = { a = '0123456789abcdef' } }\n");
    std::fs::write(&config, text).unwrap();
    let (_, _, stderr) = Program::run(["serve", "--check", "--config", config.to_str().unwrap()]);
    assert!(stderr.contains("there is no auth policy \"who\": did you mean \"whom\"?"), "{stderr}");
}

#[test]
fn a_policy_is_printed_whole_with_its_secrets_masked() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, user("ann", "secret")).unwrap();
    let secret = "0123456789abcdef".repeat(2);
    let upstream = Upstream::named("app");
    let text = guarded(
        &upstream,
        &format!(
            "[auth.who]\nbasic = {{ file = '{}' }}\n\
             [auth.tokens]\njwt = {{ algorithms = ['HS256'], secret = '{secret}' }}\n\
             [auth.keys]\napi_key = {{ keys = {{ build = '{secret}' }} }}\n",
            users.display()
        ),
    );
    let config = folder.path().join("lab.toml");
    std::fs::write(&config, text).unwrap();
    let (code, printed, stderr) =
        Program::run(["serve", "--print-config", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!printed.contains(&secret), "{printed}");
    for part in ["secret = \"***\"", "build = \"***\"", "leeway = \"30s\"", "cache_for = \"5m\""] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    // Secrets aside, it means the same.
    let printed = printed.replace("***", &secret);
    std::fs::write(&config, &printed).unwrap();
    let again = Program::run(["serve", "--print-config", "--config", config.to_str().unwrap()]);
    assert_eq!(again.1.replace("***", &secret), printed);
    let _ = Balancer::start(&["--config", config.to_str().unwrap()]);
}
