//! Tokens (RFC 7519), right ones and such as nobody may take.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use crate::judge::common;
use crate::judge::diagnosis::Finding;
use crate::judge::draw::Draw;

/// How long a token holds, in seconds.
const AN_HOUR: i64 = 3600;

/// Somebody who gives out tokens.
pub struct Issuer {
    /// What tokens have as `iss`.
    pub name: String,
    /// What they have as `aud`.
    pub audience: String,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// What a program verifies them with: a secret, or a public key in PEM.
    pub verifier: String,
    key: EncodingKey,
}

/// What a token says.
pub type Claims = Map<String, Value>;

// === impl Issuer ===

impl Issuer {
    /// One who signs with a secret (HS256), of 32 letters and more.
    pub fn with_secret(draw: &Draw) -> Self {
        let secret: String = (0..8).map(|_| draw.word()).collect();
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self::of(draw, Algorithm::HS256, secret, key)
    }

    /// One who signs with a private key (ES256), which is made anew.
    ///
    /// # Errors
    ///
    /// There can be none, which is inconclusive.
    pub fn with_key(draw: &Draw) -> Result<Self, Finding> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let pair = pair.map_err(|error| common::our_error("no key could be made", &error))?;
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Ok(Self::of(draw, Algorithm::ES256, pair.public_key_pem(), key))
    }

    fn of(draw: &Draw, algorithm: Algorithm, verifier: String, key: EncodingKey) -> Self {
        let name = format!("https://{}.test/", draw.word());
        Self { name, audience: draw.word(), algorithm, verifier, key }
    }

    /// The claims of a token that is right, for this user.
    pub fn claims(&self, user: &str) -> Claims {
        let now = now();
        let claims = json!({
            "iss": self.name, "aud": self.audience, "sub": user, "iat": now, "exp": now + AN_HOUR,
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    /// A right token.
    ///
    /// # Errors
    ///
    /// It can't be signed, which is inconclusive.
    pub fn token(&self, user: &str) -> Result<String, Finding> {
        self.sign(&self.claims(user))
    }

    /// A token with these claims, rightly signed.
    ///
    /// # Errors
    ///
    /// It can't be signed, which is inconclusive.
    pub fn sign(&self, claims: &Claims) -> Result<String, Finding> {
        let body = Value::Object(claims.clone()).to_string();
        self.sign_bytes(body.as_bytes())
    }

    /// The same of any bytes.
    ///
    /// # Errors
    ///
    /// It can't be signed, which is inconclusive.
    pub fn sign_bytes(&self, claims: &[u8]) -> Result<String, Finding> {
        signed(self.algorithm, &self.key, claims)
    }

    /// A token with these claims, signed with this secret.
    ///
    /// # Errors
    ///
    /// It can't be signed, which is inconclusive.
    pub fn sign_with_secret(
        &self,
        claims: &Claims,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<String, Finding> {
        let body = Value::Object(claims.clone()).to_string();
        signed(algorithm, &EncodingKey::from_secret(secret), body.as_bytes())
    }
}

/// A token that is not signed: its `alg` is spelt so.
pub fn unsigned(algorithm: &str, claims: &Claims) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" }).to_string();
    let claims = Value::Object(claims.clone()).to_string();
    format!("{}.{}.", part(header.as_bytes()), part(claims.as_bytes()))
}

/// A part of a token.
pub fn part(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a public key in PEM.
///
/// # Errors
///
/// It is none, which is inconclusive.
pub fn der(pem: &str) -> Result<Vec<u8>, Finding> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|error| common::our_error("no public key could be read", &error))?;
    Ok(key.to_vec())
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &[u8]) -> Result<String, Finding> {
    let header = json!({ "alg": format!("{algorithm:?}"), "typ": "JWT" }).to_string();
    let message = format!("{}.{}", part(header.as_bytes()), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm)
        .map_err(|error| common::our_error("a token could not be signed", &error))?;
    Ok(format!("{message}.{signature}"))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[test]
    fn what_is_signed_is_taken_by_whoever_has_the_key() {
        let draw = Draw::new(1, "16-authentication", "issuer");
        let (secret, pair) = (Issuer::with_secret(&draw), Issuer::with_key(&draw).unwrap());
        let keys = [
            DecodingKey::from_secret(secret.verifier.as_bytes()),
            DecodingKey::from_ec_pem(pair.verifier.as_bytes()).unwrap(),
        ];
        for (issuer, key) in [&secret, &pair].into_iter().zip(&keys) {
            let mut check = Validation::new(issuer.algorithm);
            check.set_audience(&[&issuer.audience]);
            check.set_issuer(&[&issuer.name]);
            // The numbers of a signature are shorter now and then.
            for user in 0..40 {
                let token = issuer.token(&user.to_string()).unwrap();
                let read = jsonwebtoken::decode::<Claims>(&token, key, &check).unwrap();
                assert_eq!(read.claims["sub"], user.to_string());
            }
            let unsigned = unsigned("none", &issuer.claims("ann"));
            assert!(jsonwebtoken::decode::<Claims>(&unsigned, key, &check).is_err());
        }
        assert_eq!(der(&pair.verifier).unwrap().len(), 91);
        assert!(secret.verifier.len() >= 32);
    }
}
