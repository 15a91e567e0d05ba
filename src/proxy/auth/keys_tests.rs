use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::json;

use super::*;

const RSA: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/support/rsa.pub.pem"));

/// A key of RSA with 1024 bits.
const SMALL_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC0Fynk0ciKsvdi6VTWqcxJI0UR
CvK/rjBUi/c/qKDjMzVCJJ0PjsNKqfVnn0UVDHMR06cx03SOzUK8ibrBhOTV0kxk
bDpWFjyZpQ4v+dwwIj0aJ5YhT0wt18v2b8vfGm2zv5ww9ffd7AoqIneeYAxubDQm
ljMbT62gX+biwptYdQIDAQAB
-----END PUBLIC KEY-----
";

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    KeyPair::generate_for(algorithm).unwrap().public_key_pem()
}

/// Which algorithms each key may be used with.
fn uses(keys: &Keys) -> Vec<&[Algorithm]> {
    keys.0.iter().map(|key| &*key.algorithms).collect()
}

#[test]
fn a_public_key_is_used_with_the_algorithms_of_its_kind_alone() {
    let of = |file: &str| uses_of(&Keys::from_pem(file.as_bytes(), &ALL).unwrap());
    fn uses_of(keys: &Keys) -> Vec<Vec<Algorithm>> {
        uses(keys).iter().map(|algorithms| algorithms.to_vec()).collect()
    }
    assert_eq!(of(RSA), [AlgorithmFamily::Rsa.algorithms()]);
    let (p256, p384) = (pem(&PKCS_ECDSA_P256_SHA256), pem(&PKCS_ECDSA_P384_SHA384));
    assert_eq!(of(&p256), [[Algorithm::ES256]]);
    assert_eq!(of(&p384), [[Algorithm::ES384]]);
    assert_eq!(of(&pem(&PKCS_ED25519)), [[Algorithm::EdDSA]]);
    assert_eq!(
        of(&format!("{p256}\n# the old one\n{p384}")),
        [[Algorithm::ES256], [Algorithm::ES384]]
    );
}

#[test]
fn a_file_that_holds_no_key_to_use_says_what_to_do() {
    let private = KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&private).unwrap().pem();
    let five = pem(&PKCS_ED25519).repeat(5);
    for (file, algorithms, said) in [
        ("", &ALL[..], "BEGIN PUBLIC KEY"),
        ("a secret", &ALL, "BEGIN PUBLIC KEY"),
        (&private.serialize_pem(), &ALL, "openssl pkey"),
        (&certificate, &ALL, "openssl x509"),
        (
            "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n",
            &ALL,
            "openssl rsa",
        ),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &ALL, "damaged"),
        ("-----BEGIN PUBLIC KEY-----\nA*A\n-----END PUBLIC KEY-----\n", &ALL, "not PEM"),
        (RSA, &[Algorithm::ES256], "RS256"),
        (&pem(&PKCS_ECDSA_P384_SHA384), &[Algorithm::ES256], "elliptic curve"),
        (SMALL_RSA, &ALL, "1024 bits"),
        (&five, &ALL, "JWKS"),
    ] {
        let error = Keys::from_pem(file.as_bytes(), algorithms).unwrap_err();
        assert!(
            error.contains(said) && error.contains(": ") || said.contains("bits"),
            "{said}: {error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_secret_is_as_long_as_its_hash() {
    let of = |secret: &str, base64, algorithm| Keys::from_secret(secret, base64, &[algorithm]);
    assert!(of(&"x".repeat(32), false, Algorithm::HS256).is_ok());
    assert!(of(&STANDARD.encode([0; 64]), true, Algorithm::HS512).is_ok());
    for (secret, base64, algorithm, said) in [
        ("x".repeat(31), false, Algorithm::HS256, "31 bytes, and HS256 needs 32"),
        ("x".repeat(47), false, Algorithm::HS384, "HS384 needs 48"),
        (STANDARD.encode([0; 63]), true, Algorithm::HS512, "63 bytes, and HS512 needs 64"),
        ("x*".repeat(32), true, Algorithm::HS256, "not base64"),
    ] {
        let error = of(&secret, base64, algorithm).unwrap_err();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains(&secret), "{error}");
    }
}

fn ed25519_jwk() -> Value {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) })
}

fn ec_jwk() -> Value {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let raw = pair.public_key_raw();
    let number = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&raw[range]);
    json!({ "kty": "EC", "crv": "P-256", "x": number(1..33), "y": number(33..65) })
}

fn with(mut key: Value, field: &str, value: Value) -> Value {
    key[field] = value;
    key
}

#[test]
fn a_set_gives_the_keys_that_can_be_used_and_a_note_on_each_other() {
    let set = json!({ "keys": [
        with(ed25519_jwk(), "kid", json!("ed")),
        with(ec_jwk(), "alg", json!("ES256")),
        { "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 48]) },
        { "kty": "AKP", "kid": "new", "pub": "..." },
        with(ec_jwk(), "use", json!("enc")),
        with(ec_jwk(), "key_ops", json!(["sign"])),
        with(ec_jwk(), "alg", json!("ES384")),
        with(ec_jwk(), "alg", json!("RSA-OAEP")),
        with(ec_jwk(), "x", json!("AAAA")),
        with(ec_jwk(), "x", json!("*")),
        with(ed25519_jwk(), "x", json!("AAAA")),
        with(ed25519_jwk(), "crv", json!("X25519")),
        { "kty": "RSA", "n": "AQAB", "e": "AQAB" },
        { "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([255; 256]), "e": "AQ" },
        { "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([255; 1024]), "e": "AQAB" },
        { "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 31]) },
        "not a key",
    ]});
    let (keys, notes) = Keys::from_jwks(set.to_string().as_bytes(), &ALL).unwrap();
    assert_eq!(
        uses(&keys),
        [&[Algorithm::EdDSA][..], &[Algorithm::ES256], &[Algorithm::HS256, Algorithm::HS384]]
    );
    assert_eq!(notes.len(), 14, "{notes:#?}");
    assert!(notes[0].starts_with("key 4 (\"new\") is left out: its kty"), "{}", notes[0]);
    let fitting = |algorithm, id| keys.fitting(algorithm, id).count();
    assert_eq!(fitting(Algorithm::EdDSA, Some("ed")), 1);
    assert_eq!(fitting(Algorithm::EdDSA, Some("de")), 0);
    assert_eq!(fitting(Algorithm::EdDSA, None), 1);
    assert_eq!(fitting(Algorithm::ES256, Some("any")), 1, "a key without a name may be any");
    assert_eq!(fitting(Algorithm::RS256, None), 0);
    assert!(!format!("{keys:?}").contains("7, 7, 7"));
}

#[test]
fn a_set_without_a_key_to_use_is_refused() {
    for (set, said) in [
        ("", "it is no JWKS (line 1, column 0)"),
        ("{}", "it is no JWKS"),
        (r#"{"keys": 1}"#, "it is no JWKS"),
        (r#"{"keys": []}"#, "it is empty"),
        (r#"{"keys": [{"kty": "AKP"}, 1]}"#, "key 1 is left out: its kty"),
    ] {
        let error = Keys::from_jwks(set.as_bytes(), &ALL).unwrap_err();
        assert!(error.contains(said), "{set}: {error}");
    }
    let set = json!({ "keys": [ec_jwk()] }).to_string();
    let error = Keys::from_jwks(set.as_bytes(), &[Algorithm::RS256]).unwrap_err();
    assert!(error.contains("can be used with RS256"), "{error}");
}

#[test]
fn a_stranger_has_few_signatures_verified() {
    let set = json!({ "keys": (0..20).map(|_| ed25519_jwk()).collect::<Vec<_>>() });
    let (keys, _) = Keys::from_jwks(set.to_string().as_bytes(), &ALL).unwrap();
    assert_eq!(keys.fitting(Algorithm::EdDSA, None).count(), TRIED);
}

proptest! {
    #[test]
    fn no_file_makes_a_parser_panic(file in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Keys::from_jwks(&file, &ALL);
        let _ = Keys::from_pem(&file, &ALL);
    }

    #[test]
    fn no_damaged_pem_makes_the_parser_panic(place in 0usize..400, byte in any::<u8>()) {
        let mut file = RSA.as_bytes().to_vec();
        let place = place % file.len();
        file[place] = byte;
        let _ = Keys::from_pem(&file, &ALL);
    }

    #[test]
    fn no_key_of_any_length_makes_the_parser_panic(
        kty in prop::sample::select(vec!["OKP", "EC", "RSA", "oct"]),
        crv in prop::sample::select(vec!["Ed25519", "P-256", "P-384", "P-521"]),
        x in prop::collection::vec(any::<u8>(), 0..70),
        y in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({ "kty": kty, "crv": crv, "x": x, "y": y, "n": x, "e": y, "k": x });
        let _ = Keys::from_jwks(json!({ "keys": [key] }).to_string().as_bytes(), &ALL);
    }
}
