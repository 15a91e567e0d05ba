//! The keys that signatures of tokens are verified with: a secret, public keys in PEM,
//! or a JSON Web Key Set (RFC 7517).
//!
//! Each key knows the algorithms that it may be used with: those of its kind out of
//! the configured ones. So no token can have a public key taken for a secret, whatever
//! algorithm it names (RFC 8725, section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::Value;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::config::JwtAlgorithm;

/// Keys, and what each may be used for.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    /// What tokens call it (`kid`).
    id: Option<Box<str>>,
    key: DecodingKey,
    algorithms: Box<[Algorithm]>,
}

/// How many keys are tried for one token that does not say which: so many signatures
/// can a stranger have verified.
const TRIED: usize = 4;

/// The sizes of an RSA key, in bits: below, it is no longer safe (RFC 7518, section
/// 3.3); above, it takes too long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

// === impl Keys ===

impl Keys {
    /// One secret, for each of these algorithms.
    ///
    /// # Errors
    ///
    /// It is not base64, though it should be, or shorter than a hash of these
    /// algorithms (RFC 7518, section 3.2).
    pub fn from_secret(
        secret: &str,
        base64: bool,
        algorithms: &[Algorithm],
    ) -> Result<Self, String> {
        let decoded;
        let bytes = if base64 {
            decoded = STANDARD
                .decode(secret)
                .map_err(|_| "the secret is not base64: give it so, or without secret_base64")?;
            decoded.as_slice()
        } else {
            secret.as_bytes()
        };
        for algorithm in algorithms {
            let least = shortest_secret(*algorithm);
            if bytes.len() < least {
                return Err(format!(
                    "the secret has {} bytes, and {algorithm:?} needs {least} to be safe: make one \
                     with `openssl rand -hex {least}`",
                    bytes.len()
                ));
            }
        }
        let key = DecodingKey::from_secret(bytes);
        Ok(Self(vec![Key { id: None, key, algorithms: algorithms.into() }]))
    }

    /// The public keys of a PEM file.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and what to do.
    pub fn from_pem(file: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(file) {
            let der = der.map_err(|_| "it is not PEM: give a file with BEGIN PUBLIC KEY")?;
            let key = from_spki(&der)?;
            let usable = usable(&key, algorithms);
            if usable.is_empty() {
                return Err(format!(
                    "a key of it is {}, which none of the algorithms is for: name one of {}",
                    kind(&key),
                    names(key.family().algorithms())
                ));
            }
            keys.push(Key { id: None, key, algorithms: usable });
        }
        if keys.is_empty() {
            let has =
                |label: &str| file.windows(label.len()).any(|window| window == label.as_bytes());
            return Err(if has("PRIVATE KEY-----") {
                "it holds a private key, which belongs to who signs: give the public one, which \
                 `openssl pkey -in FILE -pubout` prints"
            } else if has("BEGIN CERTIFICATE") {
                "it holds a certificate: give its public key, which \
                 `openssl x509 -in FILE -noout -pubkey` prints"
            } else if has("BEGIN RSA PUBLIC KEY") {
                "it holds a key in an older form: give what \
                 `openssl rsa -RSAPublicKey_in -in FILE -pubout` prints"
            } else {
                "it holds no public key: give a PEM file with BEGIN PUBLIC KEY"
            }
            .to_owned());
        }
        if keys.len() > TRIED {
            return Err(format!(
                "it holds {} keys, and up to {TRIED} are tried: give a JWKS file, whose keys have \
                 names",
                keys.len()
            ));
        }
        Ok(Self(keys))
    }

    /// The keys of a JSON Web Key Set that can be used, and notes on the others, which
    /// are left out (RFC 7517, section 5).
    ///
    /// # Errors
    ///
    /// The file is no set of keys, or none of them can be used.
    pub fn from_jwks(file: &[u8], algorithms: &[Algorithm]) -> Result<(Self, Vec<String>), String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(file).map_err(|error| {
            // Its message shows nothing of the file but the place.
            let (line, column) = (error.line(), error.column());
            format!("it is no JWKS (line {line}, column {column}): write {{\"keys\": [...]}}")
        })?;
        let (mut keys, mut notes) = (Vec::new(), Vec::new());
        for (index, written) in set.keys.into_iter().enumerate() {
            let id = written["kid"].as_str().map(Box::from);
            match from_jwk(written, algorithms) {
                Ok((key, algorithms)) => keys.push(Key { id, key, algorithms }),
                Err(why) => notes.push(match id {
                    Some(id) => format!("key {} ({id:?}) is left out: {why}", index + 1),
                    None => format!("key {} is left out: {why}", index + 1),
                }),
            }
        }
        if keys.is_empty() {
            let why = match notes.as_slice() {
                [] => "it is empty".to_owned(),
                [note] => note.clone(),
                [first, ..] => format!("{first}, and so on"),
            };
            return Err(format!("none of its keys can be used with {}: {why}", names(algorithms)));
        }
        Ok((Self(keys), notes))
    }

    /// The keys that a token can be signed with that names this algorithm and key.
    /// Keys without a name may be any.
    pub fn fitting(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            key.algorithms.contains(&algorithm)
                && match (&key.id, id) {
                    (Some(own), Some(id)) => **own == *id,
                    (None, _) | (_, None) => true,
                }
        };
        self.0.iter().filter(fits).take(TRIED).map(|key| &key.key)
    }
}

/// Those of the algorithms that a key can verify.
fn usable(key: &DecodingKey, algorithms: &[Algorithm]) -> Box<[Algorithm]> {
    let verifies = |algorithm: &&Algorithm| {
        // What is not a signature says whether the key could verify one.
        algorithm.family() == key.family()
            && jsonwebtoken::crypto::verify("", b"", key, **algorithm).is_ok()
    };
    algorithms.iter().filter(verifies).copied().collect()
}

/// A `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
fn from_spki(der: &[u8]) -> Result<DecodingKey, String> {
    let damaged = "a key of it is damaged: give a PEM file with BEGIN PUBLIC KEY";
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| damaged)?;
    if !rest.is_empty() {
        return Err(damaged.to_owned());
    }
    let point = &*info.subject_public_key.data;
    // RFC 8410, section 3.
    if info.algorithm.algorithm.to_id_string() == "1.3.101.112" {
        return ed25519(point).ok_or_else(|| damaged.to_owned());
    }
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => self::rsa(rsa.modulus, rsa.exponent),
        Ok(PublicKey::EC(_)) => Ok(DecodingKey::from_ec_der(point)),
        _ => Err("a key of it is of a kind that is not supported: use RSA, EC on P-256 or P-384, \
                  or Ed25519"
            .to_owned()),
    }
}

/// A JSON Web Key (RFC 7517, section 4).
fn from_jwk(
    written: Value,
    algorithms: &[Algorithm],
) -> Result<(DecodingKey, Box<[Algorithm]>), String> {
    let jwk: Jwk = serde_json::from_value(written).map_err(|_| "it is no JSON Web Key")?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("its use is not sig".to_owned());
    }
    if common.key_operations.as_ref().is_some_and(|ops| !ops.contains(&KeyOperations::Verify)) {
        return Err("its key_ops do not have verify".to_owned());
    }
    let bytes = |text: &str| {
        URL_SAFE_NO_PAD.decode(text).map_err(|_| "it is not written in base64url".to_owned())
    };
    let key = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => rsa(&bytes(&key.n)?, &bytes(&key.e)?)?,
        AlgorithmParameters::EllipticCurve(key) => {
            let point = [&[4], &*bytes(&key.x)?, &*bytes(&key.y)?].concat();
            DecodingKey::from_ec_der(&point)
        }
        AlgorithmParameters::OctetKeyPair(key) => {
            ed25519(&bytes(&key.x)?).ok_or("it is no key of Ed25519")?
        }
        AlgorithmParameters::OctetKey(key) => DecodingKey::from_secret(&bytes(&key.value)?),
        _ => return Err("its kty or crv is not supported".to_owned()),
    };
    // A key may be for one algorithm alone (RFC 7517, section 4.4).
    let own = common.key_algorithm.map(|own| Algorithm::try_from(own).ok());
    let is_own = |algorithm: &&Algorithm| own.is_none_or(|own| own == Some(**algorithm));
    let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    let is_long = |algorithm: &Algorithm| {
        key.family() != AlgorithmFamily::Hmac || length >= shortest_secret(*algorithm)
    };
    let named: Vec<_> = algorithms.iter().filter(is_own).copied().collect();
    let usable: Box<[_]> = usable(&key, &named).into_iter().filter(is_long).collect();
    if usable.is_empty() {
        return Err(format!(
            "it is {}, or for an algorithm, that is not among those of the configuration, or is \
             too short",
            kind(&key)
        ));
    }
    Ok((key, usable))
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, String> {
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    let bits = match significant.clone().next() {
        Some(first) => significant.count() * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "a key of RSA has {bits} bits, and {} to {} can be used",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    // With an exponent of 1, anything would be a signature of itself.
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let large =
        exponent.iter().any(|byte| *byte > 1) || exponent.iter().filter(|b| **b > 0).count() > 1;
    if !odd(modulus) || !odd(exponent) || !large {
        return Err("a key of RSA is none: its numbers do not fit".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn ed25519(point: &[u8]) -> Option<DecodingKey> {
    (point.len() == 32).then(|| DecodingKey::from_ed_der(point))
}

/// The shortest secret that is safe with an algorithm, in bytes.
fn shortest_secret(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

fn kind(key: &DecodingKey) -> &'static str {
    match key.family() {
        AlgorithmFamily::Hmac => "a secret",
        AlgorithmFamily::Rsa => "a key of RSA",
        AlgorithmFamily::Ec => "a key of an elliptic curve",
        AlgorithmFamily::Ed => "a key of Ed25519",
    }
}

fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect::<Vec<_>>().join(", ")
}

impl From<JwtAlgorithm> for Algorithm {
    fn from(algorithm: JwtAlgorithm) -> Self {
        match algorithm {
            JwtAlgorithm::HS256 => Self::HS256,
            JwtAlgorithm::HS384 => Self::HS384,
            JwtAlgorithm::HS512 => Self::HS512,
            JwtAlgorithm::RS256 => Self::RS256,
            JwtAlgorithm::RS384 => Self::RS384,
            JwtAlgorithm::RS512 => Self::RS512,
            JwtAlgorithm::PS256 => Self::PS256,
            JwtAlgorithm::PS384 => Self::PS384,
            JwtAlgorithm::PS512 => Self::PS512,
            JwtAlgorithm::ES256 => Self::ES256,
            JwtAlgorithm::ES384 => Self::ES384,
            JwtAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
