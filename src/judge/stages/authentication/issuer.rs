//! Tokens (RFC 7519), right ones and such as nobody may take.

use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
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
    key: Key,
}

/// What tokens are signed with.
enum Key {
    Secret(EncodingKey),
    Pair(Box<KeyPair>),
}

/// What a token says.
pub type Claims = Map<String, Value>;

// === impl Issuer ===

impl Issuer {
    /// One who signs with a secret (HS256), of 32 letters and more.
    pub fn with_secret(draw: &Draw) -> Self {
        let secret: String = (0..8).map(|_| draw.word()).collect();
        let key = Key::Secret(EncodingKey::from_secret(secret.as_bytes()));
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
        Ok(Self::of(draw, Algorithm::ES256, pair.public_key_pem(), Key::Pair(Box::new(pair))))
    }

    fn of(draw: &Draw, algorithm: Algorithm, verifier: String, key: Key) -> Self {
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
        signed(algorithm, &Key::Secret(EncodingKey::from_secret(secret)), body.as_bytes())
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

/// The bytes of a key in PEM.
pub fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn signed(algorithm: Algorithm, key: &Key, claims: &[u8]) -> Result<String, Finding> {
    let header = json!({ "alg": format!("{algorithm:?}"), "typ": "JWT" }).to_string();
    let message = format!("{}.{}", part(header.as_bytes()), part(claims));
    let failed = |error: &dyn Display| common::our_error("a token could not be signed", error);
    let signature = match key {
        Key::Secret(secret) => jsonwebtoken::crypto::sign(message.as_bytes(), secret, algorithm)
            .map_err(|error| failed(&error))?,
        Key::Pair(pair) => {
            let signature = pair.sign(message.as_bytes()).map_err(|error| failed(&error))?;
            part(&both_numbers(&signature).ok_or_else(|| failed(&"it is no pair of numbers"))?)
        }
    };
    Ok(format!("{message}.{signature}"))
}

/// The two numbers of a signature as tokens have them, of 32 bytes each (RFC 7518, section 3.4).
/// Certificates have them in DER: `30 LENGTH 02 LENGTH NUMBER 02 LENGTH NUMBER`.
fn both_numbers(der: &[u8]) -> Option<[u8; 64]> {
    let mut both = [0; 64];
    let mut rest = der.get(2..)?;
    for number in both.chunks_exact_mut(32) {
        let (length, after) = rest.strip_prefix(&[2])?.split_first()?;
        let (bytes, after) = after.split_at_checked(usize::from(*length))?;
        // A byte of 0 says that it is not less than nothing.
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        number.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
        rest = after;
    }
    rest.is_empty().then_some(both)
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
        assert_eq!(der(&pair.verifier).len(), 91);
        assert!(secret.verifier.len() >= 32);
    }
}
