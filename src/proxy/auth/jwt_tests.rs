use std::sync::LazyLock;

use jsonwebtoken::{EncodingKey, Header, get_current_timestamp};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::json;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const RSA: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/support/rsa.pem"));
const RSA_PUBLIC: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/support/rsa.pub.pem"));

fn policy(keys: Keys, text: &str) -> Jwt {
    let auth = format!("[jwt]\n{text}\n");
    let auth: config::Auth = toml::from_str(&auth).unwrap();
    Jwt::new(auth.jwt.as_ref().unwrap(), &auth, keys)
}

/// With the secret, for HS256.
fn with_secret(text: &str) -> Jwt {
    let keys = Keys::from_secret(SECRET, false, &[Algorithm::HS256]).unwrap();
    policy(keys, &format!("algorithms = ['HS256']\n{text}"))
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn now() -> i64 {
    i64::try_from(get_current_timestamp()).unwrap()
}

/// The claims of ann, good for a minute, with others over them.
fn claims(others: Value) -> Value {
    let mut claims = json!({ "sub": "ann", "exp": now() + 60 });
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// Who a token says, and whether that user may, or why the token is refused.
fn verdict(policy: &Jwt, token: &str) -> Result<(String, bool), Denial> {
    let verified = policy.verify(token.as_bytes())?;
    Ok((verified.identity.name().to_owned(), verified.identity.permitted))
}

#[test]
fn a_token_is_right_with_each_algorithm_and_with_no_other_key_or_algorithm() {
    let pairs = [
        (Algorithm::ES256, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()),
        (Algorithm::ES384, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()),
        (Algorithm::EdDSA, KeyPair::generate_for(&PKCS_ED25519).unwrap()),
    ];
    let mut signers: Vec<_> = pairs
        .iter()
        .map(|(algorithm, pair)| {
            let pem = pair.serialize_pem();
            let key = match algorithm {
                Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
                _ => EncodingKey::from_ec_pem(pem.as_bytes()),
            };
            (*algorithm, key.unwrap(), pair.public_key_pem())
        })
        .collect();
    for algorithm in jsonwebtoken::AlgorithmFamily::Rsa.algorithms() {
        let key = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
        signers.push((*algorithm, key, RSA_PUBLIC.to_owned()));
    }
    for algorithm in jsonwebtoken::AlgorithmFamily::Hmac.algorithms() {
        signers.push((*algorithm, EncodingKey::from_secret(SECRET.as_bytes()), String::new()));
    }
    let keys = |algorithm, public: &str| match public {
        "" => Keys::from_secret(SECRET, false, &[algorithm]).unwrap(),
        public => Keys::from_pem(public.as_bytes(), &[algorithm]).unwrap(),
    };
    let tokens: Vec<_> = signers
        .iter()
        .map(|(algorithm, key, _)| sign(&Header::new(*algorithm), &claims(json!({})), key))
        .collect();
    for (index, (algorithm, _, public)) in signers.iter().enumerate() {
        let policy = policy(keys(*algorithm, public), &format!("algorithms = ['{algorithm:?}']"));
        for (other, token) in tokens.iter().enumerate() {
            let expected =
                if index == other { Ok(("ann".to_owned(), true)) } else { Err(Denial::Algorithm) };
            assert_eq!(verdict(&policy, token), expected, "{algorithm:?}, {:?}", signers[other].0);
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let keys = Keys::from_pem(RSA_PUBLIC.as_bytes(), &[Algorithm::RS256]).unwrap();
    let policy = policy(keys, "algorithms = ['RS256', 'HS256']");
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(RSA_PUBLIC.as_bytes());
    let der: rustls::pki_types::SubjectPublicKeyInfoDer<'_> = der.unwrap();
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes(), &der] {
        let token = sign(&Header::default(), &claims(json!({})), &EncodingKey::from_secret(secret));
        assert_eq!(verdict(&policy, &token), Err(Denial::UnknownKey));
    }
}

#[test]
fn a_token_that_is_not_signed_is_refused_however_it_says_so() {
    let policy = with_secret("");
    let payload = URL_SAFE_NO_PAD.encode(claims(json!({})).to_string());
    let signed = hs256(&claims(json!({})));
    let signature = signed.rsplit('.').next().unwrap();
    for alg in ["none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS256 ", "HS1", "ES256K"] {
        for signature in ["", signature] {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(verdict(&policy, &token), Err(Denial::Algorithm), "{alg:?}");
        }
    }
    for header in [json!({}), json!({ "alg": null }), json!({ "alg": ["HS256"] }), json!([])] {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        assert_eq!(
            verdict(&policy, &format!("{header}.{payload}.{signature}")),
            Err(Denial::Malformed),
            "{header}"
        );
    }
}

#[test]
fn claims_are_looked_at_after_the_signature() {
    let policy = with_secret("leeway = '0s'");
    let narrow = with_secret("leeway = '30s'\nissuer = ['us', 'them']\naudience = ['shop']");
    let ours = |others: Value| {
        let mut claims = claims(json!({ "iss": "us", "aud": "shop" }));
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let ann = Ok(("ann".to_owned(), true));
    for (policy, claims, expected) in [
        (&policy, claims(json!({})), ann.clone()),
        (&policy, claims(json!({ "exp": now() - 1 })), Err(Denial::Expired)),
        (&policy, claims(json!({ "exp": now() })), Err(Denial::Expired)),
        (&policy, claims(json!({ "exp": 0 })), Err(Denial::Malformed)),
        (&policy, claims(json!({ "exp": -1 })), Err(Denial::Claim)),
        (&policy, claims(json!({ "exp": "4102444800" })), Err(Denial::Claim)),
        (&policy, claims(json!({ "exp": null })), Err(Denial::Claim)),
        (&policy, claims(json!({ "exp": 4102444800.5 })), ann.clone()),
        (&policy, claims(json!({ "nbf": now() + 30 })), Err(Denial::NotYetValid)),
        (&policy, claims(json!({ "nbf": now() })), ann.clone()),
        (&policy, claims(json!({ "nbf": "soon" })), Err(Denial::Claim)),
        (&policy, claims(json!({ "aud": "shop" })), Err(Denial::Audience)),
        (&policy, claims(json!({ "aud": [] })), Err(Denial::Audience)),
        (&policy, claims(json!({ "aud": 5 })), Err(Denial::Audience)),
        (&policy, claims(json!({ "iss": ["us"] })), Err(Denial::Issuer)),
        (&policy, claims(json!({ "sub": null })), Err(Denial::User)),
        (&policy, claims(json!({ "sub": "" })), Err(Denial::User)),
        (&policy, claims(json!({ "sub": "root " })), Err(Denial::User)),
        (&policy, claims(json!({ "sub": "a\r\nx-admin: 1" })), Err(Denial::User)),
        (&policy, claims(json!({ "sub": ["ann"] })), Err(Denial::Malformed)),
        (&policy, claims(json!({ "sub": 7 })), Ok(("7".to_owned(), true))),
        (&narrow, ours(json!({})), ann.clone()),
        (&narrow, ours(json!({ "iss": "them" })), ann.clone()),
        (&narrow, ours(json!({ "aud": ["other", "shop"] })), ann.clone()),
        (&narrow, ours(json!({ "aud": ["other"] })), Err(Denial::Audience)),
        (&narrow, ours(json!({ "aud": "Shop" })), Err(Denial::Audience)),
        (&narrow, ours(json!({ "iss": "us2" })), Err(Denial::Issuer)),
        (&narrow, claims(json!({ "iss": "us" })), Err(Denial::Claim)),
        (&narrow, claims(json!({ "aud": "shop" })), Err(Denial::Claim)),
        // The edges of the leeway, with room for a second to pass meanwhile.
        (&narrow, ours(json!({ "exp": now() - 27 })), ann.clone()),
        (&narrow, ours(json!({ "exp": now() - 30 })), Err(Denial::Expired)),
        (&narrow, ours(json!({ "nbf": now() + 30 })), ann),
        (&narrow, ours(json!({ "nbf": now() + 33 })), Err(Denial::NotYetValid)),
    ] {
        assert_eq!(verdict(policy, &hs256(&claims)), expected, "{claims}");
    }
    let other = "x".repeat(64);
    let forged =
        sign(&Header::default(), &claims(json!({})), &EncodingKey::from_secret(other.as_bytes()));
    assert_eq!(verdict(&policy, &forged), Err(Denial::Signature));
    let open = with_secret("require_exp = false");
    assert!(verdict(&open, &hs256(&claims(json!({ "exp": null })))).is_ok());
    assert_eq!(verdict(&open, &hs256(&claims(json!({ "exp": 5 })))), Err(Denial::Expired));
}

#[test]
fn extensions_are_not_understood_and_keys_in_tokens_are_not_believed() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let policy = with_secret("");
    for crit in [json!(["b64"]), json!([]), json!(null), json!("exp")] {
        let header = json!({ "alg": "HS256", "crit": crit }).to_string();
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims(json!({})).to_string())
        );
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        assert_eq!(verdict(&policy, &format!("{message}.{signature}")), Err(Denial::Critical));
    }
    let mine = "m".repeat(32);
    let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(&mine) });
    let header = Header { jwk: Some(serde_json::from_value(jwk).unwrap()), ..Header::default() };
    let token = sign(&header, &claims(json!({})), &EncodingKey::from_secret(mine.as_bytes()));
    assert_eq!(verdict(&policy, &token), Err(Denial::Signature));
}

#[test]
fn the_key_that_a_token_names_is_the_one_that_counts() {
    let secrets = ["a", "b"].map(|letter| letter.repeat(32));
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "a", "k": URL_SAFE_NO_PAD.encode(&secrets[0]) },
        { "kty": "oct", "kid": "b", "k": URL_SAFE_NO_PAD.encode(&secrets[1]) },
    ]});
    let (keys, _) = Keys::from_jwks(set.to_string().as_bytes(), &[Algorithm::HS256]).unwrap();
    let policy = policy(keys, "algorithms = ['HS256']");
    let token = |id: Option<&str>, secret: &str| {
        let header = Header { kid: id.map(str::to_owned), ..Header::default() };
        sign(&header, &claims(json!({})), &EncodingKey::from_secret(secret.as_bytes()))
    };
    for (id, secret, expected) in [
        (Some("a"), &secrets[0], None),
        (Some("b"), &secrets[1], None),
        (None, &secrets[0], None),
        (None, &secrets[1], None),
        (Some("a"), &secrets[1], Some(Denial::Signature)),
        (Some("c"), &secrets[0], Some(Denial::UnknownKey)),
    ] {
        assert_eq!(verdict(&policy, &token(id, secret)).err(), expected, "{id:?} {secret}");
    }
}

#[test]
fn claims_say_who_may_and_what_the_backend_is_told() {
    let policy = with_secret(
        "required_claims = { role = ['admin', '7'], scope = ['shop:read'] }\n\
         claim_headers = { email = 'x-email', age = 'x-age', tags = 'x-tags', bad = 'x-bad' }",
    );
    let may = |others: Value| verdict(&policy, &hs256(&claims(others))).unwrap().1;
    assert!(may(json!({ "role": "admin", "scope": "a shop:read b" })));
    assert!(may(json!({ "role": ["x", "admin"], "scope": ["shop:read"] })));
    assert!(may(json!({ "role": 7, "scope": "shop:read" })));
    assert!(!may(json!({ "role": "admins", "scope": "shop:read" })));
    assert!(!may(json!({ "role": "x admin", "scope": "shop:read" })));
    assert!(!may(json!({ "role": "admin", "scope": "shop:readonly" })));
    assert!(!may(json!({ "role": { "admin": true }, "scope": "shop:read" })));
    assert!(!may(json!({})));
    let token = hs256(&claims(json!({
        "email": "ann@a.test", "age": 42, "tags": ["x"], "bad": "a\nb"
    })));
    let verified = policy.verify(token.as_bytes()).unwrap();
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    verified.identity.tell(&mut request).unwrap();
    let mut told: Vec<_> =
        request.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    told.sort_by_key(|(name, _)| *name);
    assert_eq!(told, [("x-age", "42"), ("x-auth-user", "ann"), ("x-email", "ann@a.test")]);
}

#[test]
fn a_token_is_remembered_no_longer_than_it_holds() {
    let policy = with_secret("leeway = '10s'");
    let holds = |others: Value| {
        policy.verify(hs256(&claims(others)).as_bytes()).unwrap().holds.as_secs_f64()
    };
    assert!((68.0..=70.0).contains(&holds(json!({}))));
    assert!((0.0..=10.0).contains(&holds(json!({ "exp": now() }))));
    assert!(holds(json!({ "exp": u64::MAX })) > 1e9);
}

/// A token that is right for as long as the tests run.
static RIGHT: LazyLock<String> =
    LazyLock::new(|| hs256(&claims(json!({ "exp": now() + 100_000 }))));

/// A request with a token.
fn with_token(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

#[tokio::test]
async fn signatures_that_take_long_wait_for_their_turn_and_no_others_do() {
    let keys = Keys::from_pem(RSA_PUBLIC.as_bytes(), &[Algorithm::RS256]).unwrap();
    let text = "algorithms = ['RS256']\nverifications = 1\nmax_wait = '10ms'";
    let policy = Arc::new(policy(keys, text));
    let key = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let token = |name: &str| {
        with_token(&sign(&Header::new(Algorithm::RS256), &claims(json!({ "sub": name })), &key))
    };
    let (known, new) = (token("ann"), token("ben"));
    assert_eq!(policy.identify(&known).await.unwrap().name(), "ann");
    let place = policy.workshop.as_ref().unwrap().enter().await.unwrap();
    assert_eq!(policy.identify(&known).await.unwrap().name(), "ann", "it is remembered");
    assert_eq!(policy.identify(&new).await.unwrap_err(), Denial::Busy);
    drop(place);
    assert_eq!(policy.identify(&new).await.unwrap().name(), "ben");
    let wrong = with_token("a.b.c");
    assert_eq!(policy.identify(&wrong).await.unwrap_err(), Denial::Malformed);
    assert!(with_secret("").workshop.is_none(), "a secret is quick");
}

proptest! {
    #[test]
    fn no_changed_token_is_right(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let policy = with_secret("");
        let mut token = RIGHT.clone().into_bytes();
        let place = place.index(token.len());
        let same = token[place] == byte;
        token[place] = byte;
        prop_assert_eq!(policy.verify(&token).is_ok(), same);
    }

    #[test]
    fn no_token_with_more_or_less_is_right(
        place in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 0..4),
        less in 0usize..4,
    ) {
        let policy = with_secret("");
        let mut token = RIGHT.clone().into_bytes();
        let place = place.index(token.len());
        let end = (place + less).min(token.len());
        token.splice(place..end, more);
        prop_assert_eq!(policy.verify(&token).is_ok(), token == RIGHT.as_bytes());
    }

    #[test]
    fn nothing_makes_it_panic(token in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = with_secret("").verify(&token);
    }

    #[test]
    fn no_header_and_claims_make_it_panic(header in "\\PC{0,60}", claims in "\\PC{0,60}") {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let _ = with_secret("").verify(format!("{}.{}.AAAA", parts[0], parts[1]).as_bytes());
    }
}
