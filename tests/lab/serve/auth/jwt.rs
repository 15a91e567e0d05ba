//! Signed tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::{assert_unauthorized, guarded};
use crate::support::{Reloadable, Upstream, get};

const RSA: &str = include_str!("../../support/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../support/rsa.pub.pem");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

const CHALLENGE: &str = "Bearer realm=\"restricted\"";
const WRONG: &str = "Bearer realm=\"restricted\", error=\"invalid_token\"";

fn now() -> u64 {
    get_current_timestamp()
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

/// Signed with the key of RSA.
fn rs256(claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    sign(&Header::new(Algorithm::RS256), claims, &key)
}

fn hs256(claims: &Value, secret: &[u8]) -> String {
    sign(&Header::default(), claims, &EncodingKey::from_secret(secret))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn with_public_key(upstream: &Upstream) -> Reloadable {
    Reloadable::start_with(&[("key.pem", RSA_PUBLIC)], |folder| {
        let policy = format!(
            "[auth.who.jwt]\nalgorithms = ['RS256']\npublic_key = '{}'\nleeway = '60s'
            issuer = ['https://us.test']\naudience = ['shop']\n
            claim_headers = {{ email = 'x-email', role = 'x-role' }}\n",
            folder.join("key.pem").display()
        );
        guarded(upstream, &policy)
    })
}

/// What is right, with other claims over it.
fn claims(others: Value) -> Value {
    let mut claims = json!({
        "sub": "ann", "exp": now() + 600, "iss": "https://us.test", "aud": "shop",
        "email": "ann@us.test",
    });
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn a_right_token_says_who_comes_and_goes_no_further() {
    let upstream = Upstream::named("app");
    let lab = with_public_key(&upstream);
    let address = lab.balancer.address;
    for others in [
        json!({}),
        json!({ "aud": ["other", "shop"] }),
        json!({ "nbf": now(), "iat": now() }),
        // The clocks may differ by a minute, less what a busy machine needs.
        json!({ "exp": now() - 20 }),
        json!({ "nbf": now() + 60 }),
    ] {
        let token = rs256(&claims(others.clone()));
        for field in [bearer(&token), format!("authorization: bEARER {token}")] {
            let answer = get(address, "/x", &[&field, "X-Email: root@us.test", "X-Role: admin"]);
            assert_eq!(answer.text(), "app", "{others}");
        }
    }
    let token = rs256(&claims(json!({})));
    let answer = get(address, "/fixed", &[&bearer(&token), "X-Request-Id: right"]);
    assert_eq!(answer.text(), "fixed");
    assert_eq!(lab.balancer.access("right")["user"], "ann");
    for received in upstream.received() {
        assert_eq!(received.values("x-auth-user"), ["ann"]);
        assert_eq!(received.values("x-email"), ["ann@us.test"]);
        assert!(received.values("x-role").is_empty());
        assert!(received.values("authorization").is_empty());
    }
}

#[test]
fn no_other_token_is_right() {
    let upstream = Upstream::named("app");
    let lab = with_public_key(&upstream);
    let address = lab.balancer.address;
    let right = rs256(&claims(json!({})));
    let parts: Vec<_> = right.split('.').collect();
    let unsigned = |alg: &str, signature: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
        format!("{header}.{}.{signature}", parts[1])
    };
    let without = |claim: &str| {
        let mut claims = claims(json!({}));
        claims.as_object_mut().unwrap().remove(claim);
        rs256(&claims)
    };
    let other_payload = URL_SAFE_NO_PAD.encode(claims(json!({ "sub": "root" })).to_string());
    let elliptic = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let es256 = sign(
        &Header::new(Algorithm::ES256),
        &claims(json!({})),
        &EncodingKey::from_ec_pem(elliptic.as_bytes()).unwrap(),
    );
    let rs512 = sign(
        &Header::new(Algorithm::RS512),
        &claims(json!({})),
        &EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap(),
    );
    let cases = [
        ("expired", rs256(&claims(json!({ "exp": now() - 61 })))),
        ("not_yet_valid", rs256(&claims(json!({ "nbf": now() + 600 })))),
        ("claim", without("exp")),
        ("claim", without("iss")),
        ("claim", without("aud")),
        ("user", without("sub")),
        ("user", rs256(&claims(json!({ "sub": "ann\r\nx-role: admin" })))),
        ("issuer", rs256(&claims(json!({ "iss": "https://us.test.evil" })))),
        ("audience", rs256(&claims(json!({ "aud": "shops" })))),
        ("audience", rs256(&claims(json!({ "aud": ["a", "b"] })))),
        ("signature", format!("{}.{other_payload}.{}", parts[0], parts[2])),
        ("signature", format!("{}.{}.{}", parts[0], parts[1], &parts[2][..300])),
        ("algorithm", unsigned("none", "")),
        ("algorithm", unsigned("None", "")),
        ("algorithm", unsigned("NONE", parts[2])),
        ("algorithm", hs256(&claims(json!({})), RSA_PUBLIC.as_bytes())),
        ("algorithm", es256),
        ("algorithm", rs512),
        ("malformed", format!("{}.{}", parts[0], parts[1])),
        ("malformed", format!("{right}.")),
        ("malformed", "a.b.c".to_owned()),
        ("malformed", "ä.b.c".to_owned()),
        ("too_large", format!("{}.{}.{}", parts[0], "A".repeat(9000), parts[2])),
    ];
    for (number, (word, token)) in cases.iter().enumerate() {
        let id = format!("case-{number}");
        let answer = get(address, "/x", &[&bearer(token), &format!("X-Request-Id: {id}")]);
        assert_unauthorized(&answer, WRONG, &format!("{word} {number}"));
        assert!(!answer.text().contains(word), "the client learns no cause: {}", answer.text());
        assert_eq!(lab.balancer.access(&id)["auth"], *word, "{number}");
    }
    let twice = [bearer(&right), bearer(&right), "X-Request-Id: twice".to_owned()];
    let answer = get(address, "/x", &twice.each_ref().map(String::as_str));
    assert_unauthorized(&answer, WRONG, "two fields");
    assert_eq!(lab.balancer.access("twice")["auth"], "several");
    for field in ["X-Nothing: 1", "Authorization: Basic YTpi", "Cookie: token=x"] {
        // RFC 6750, section 3.1: no error where there was no token.
        assert_unauthorized(&get(address, "/x", &[field]), CHALLENGE, field);
    }
    assert!(upstream.received().is_empty());
    let log = lab.balancer.stderr().join("\n");
    assert!(!log.contains(parts[1]) && !log.contains(parts[2]));
}

#[test]
fn a_token_may_come_in_a_field_or_a_cookie_of_its_own() {
    let upstream = Upstream::named("app");
    let lab = Reloadable::start(&guarded(
        &upstream,
        &format!(
            "[auth.who.jwt]\nalgorithms = ['HS256']\nsecret = '{SECRET}'\n\
             header = 'x-token'\ncookie = 'session'\n"
        ),
    ));
    let address = lab.balancer.address;
    let token = hs256(&json!({ "sub": "ann", "exp": now() + 600 }), SECRET.as_bytes());
    let cookie = format!("Cookie: a=1; session={token}; b=2");
    assert_eq!(get(address, "/x", &[&format!("X-Token: {token}")]).status, 200);
    assert_eq!(get(address, "/x", &[&cookie, "Authorization: Other x"]).status, 200);
    let received = upstream.received();
    assert!(received[0].values("x-token").is_empty());
    assert_eq!(received[1].values("cookie"), ["a=1; b=2"]);
    assert_eq!(received[1].values("authorization"), ["Other x"], "not this policy's");
    let twice = format!("{cookie}; session={token}");
    assert_unauthorized(&get(address, "/x", &[&twice]), WRONG, "two cookies");
    assert_unauthorized(&get(address, "/x", &[&cookie, &bearer("x")]), WRONG, "the first counts");
}

#[test]
fn those_who_lack_a_claim_are_told_so() {
    let upstream = Upstream::named("app");
    let lab = Reloadable::start(&guarded(
        &upstream,
        &format!(
            "[auth.who.jwt]\nalgorithms = ['HS256']\nsecret = '{SECRET}'\n\
             required_claims = {{ scope = ['write'] }}\n"
        ),
    ));
    let ask = |scope: &str| {
        let claims = json!({ "sub": "ann", "exp": now() + 600, "scope": scope });
        get(lab.balancer.address, "/x", &[&bearer(&hs256(&claims, SECRET.as_bytes()))])
    };
    assert_eq!(ask("read write").status, 200);
    // Twice: the answer is remembered too.
    for _ in 0..2 {
        let answer = ask("read");
        assert_eq!(answer.status, 403);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.ends_with("error=\"insufficient_scope\""), "{challenge}");
    }
    assert_eq!(upstream.received().len(), 1);
}

fn jwks(keys: &[(&str, &KeyPair)]) -> String {
    let key = |(id, pair): &(&str, &KeyPair)| {
        let raw = pair.public_key_raw();
        json!({
            "kty": "EC", "crv": "P-256", "kid": id, "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&raw[1..33]), "y": URL_SAFE_NO_PAD.encode(&raw[33..65]),
        })
    };
    let new = json!({ "kty": "AKP", "kid": "future", "alg": "ML-DSA-44", "pub": "AAAA" });
    let keys: Vec<_> = keys.iter().map(key).chain([new]).collect();
    json!({ "keys": keys }).to_string()
}

#[test]
fn keys_come_and_go_with_their_file() {
    let upstream = Upstream::named("app");
    let [old, new] = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let lab = Reloadable::start_with(&[("keys", &jwks(&[("old", &old)]))], |folder| {
        let policy = format!(
            "[auth.who.jwt]\nalgorithms = ['ES256', 'EdDSA']\njwks = '{}'\n",
            folder.join("keys").display()
        );
        guarded(&upstream, &policy)
    });
    lab.balancer.event(|event| {
        let note = event["message"].as_str()?;
        (event["target"] == "auth" && note.contains("(\"future\") is left out: its kty"))
            .then_some(())
    });
    let token = |id: Option<&str>, pair: &KeyPair| {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "sub": "ann", "exp": now() + 600 });
        sign(&header, &claims, &EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap())
    };
    let (of_old, of_new) = (token(Some("old"), &old), token(Some("new"), &new));
    let status = |token: &str| get(lab.balancer.address, "/x", &[&bearer(token)]).status;
    for (token, expected) in [
        (&of_old, 200),
        (&of_old, 200),
        (&token(None, &old), 200),
        (&of_new, 401),
        (&token(Some("old"), &new), 401),
        (&token(Some("unknown"), &old), 401),
        (&token(Some("future"), &old), 401),
    ] {
        assert_eq!(status(token), expected);
    }
    lab.write_file("keys", "{\"keys\": [");
    let refused = lab.wait_for_reload("was not reloaded");
    assert!(refused["reason"].as_str().unwrap().contains("it is no JWKS (line 1"), "{refused}");
    assert_eq!(status(&of_old), 200);
    lab.write_file("keys", &jwks(&[("new", &new)]));
    lab.wait_for_reload("was reloaded");
    assert_eq!((status(&of_old), status(&of_new)), (401, 200), "nothing is remembered of the old");
}
