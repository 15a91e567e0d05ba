//! Signed tokens (JWT: RFC 7519, and what RFC 8725 says of their dangers).
//!
//! A signature with a secret (HS256 and so on) takes 2 µs and is verified at once. One
//! with a private key takes a multiple of a whole request: a token of RS256 took 235 µs
//! (RSA of 2048 bits; 910 µs of 4096), ES256 360 µs, ES384 1.5 ms, EdDSA 47 µs on a
//! machine of 2026. So those are verified on threads of their own, a few at a time, and
//! other requests do not wait for them. Tokens that were right are remembered, so a client
//! that comes back pays for a hash; wrong ones are not.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, Validation};
use pingora::http::RequestHeader;
use serde_json::{Map, Value};

use super::cache::{Cache, KeyedHash};
use super::credential::{authorization, cookie, only, remove_authorization, remove_cookie};
use super::denial::Denial;
use super::identity::{Identity, field_value};
use super::keys::Keys;
use super::workshop::Workshop;
use crate::config::{self, JwtAuth};

/// The scheme of tokens (RFC 6750, section 2.1).
const SCHEME: &str = "Bearer";

/// What makes a token right, and what it says of the user.
pub struct Jwt {
    keys: Keys,
    /// What is looked at beside the signature, for each algorithm that is allowed.
    checks: Box<[(Algorithm, Validation)]>,
    leeway: Duration,
    has_audience: bool,
    required: BTreeMap<String, Vec<String>>,
    user_claim: Box<str>,
    user_field: HeaderName,
    claim_fields: Box<[(Box<str>, HeaderName)]>,
    allowed_users: Box<[Box<str>]>,
    size: u64,
    header: Option<HeaderName>,
    cookie: Option<Box<str>>,
    cache: Cache<Arc<Identity>>,
    /// `None` where signatures are quick to verify.
    workshop: Option<Workshop>,
}

/// A token that is right: who it says and for how long it does.
#[derive(Debug)]
pub struct Verified {
    /// Who it says.
    pub identity: Arc<Identity>,
    /// How long from now it does.
    pub holds: Duration,
}

// === impl Jwt ===

impl Jwt {
    /// Prepares what is written, with these keys.
    pub fn new(written: &JwtAuth, auth: &config::Auth, keys: Keys) -> Self {
        let check = |algorithm: &config::JwtAlgorithm| {
            let algorithm = Algorithm::from(*algorithm);
            (algorithm, validation(written, algorithm))
        };
        let field = |(claim, field): (&String, &config::IdentityField)| {
            (claim.as_str().into(), field.0.clone())
        };
        let checks: Box<[_]> = written.algorithms.iter().map(check).collect();
        let quick = checks.iter().all(|(algorithm, _)| algorithm.family() == AlgorithmFamily::Hmac);
        Self {
            keys,
            checks,
            leeway: Duration::from_secs(written.leeway.as_secs()),
            has_audience: !written.audience.is_empty(),
            required: written.required_claims.clone(),
            user_claim: written.user_claim.as_str().into(),
            user_field: auth.user_header.0.clone(),
            claim_fields: written.claim_headers.iter().map(field).collect(),
            allowed_users: auth.allow_users.iter().map(|user| user.as_str().into()).collect(),
            size: written.token_size.get(),
            header: written.header.as_ref().map(|name| name.0.clone()),
            cookie: written.cookie.as_ref().map(|name| name.as_str().into()),
            cache: Cache::new(written.cache_size.get() as usize, written.cache_for.get()),
            workshop: (!quick).then(|| Workshop::new(written.verifications, written.max_wait)),
        }
    }

    /// Who sent the request.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub async fn identify(self: &Arc<Self>, headers: &HeaderMap) -> Result<Arc<Identity>, Denial> {
        let token = self.token(headers)?.ok_or(Denial::NoCredential)?;
        if token.len() as u64 > self.size {
            return Err(Denial::TooLarge);
        }
        let digest = KeyedHash::begin().with(token).end();
        if let Some(identity) = self.cache.get(&digest) {
            return Ok(identity);
        }
        let Verified { identity, holds } = match &self.workshop {
            None => self.verify(token)?,
            Some(workshop) => {
                let place = workshop.enter().await?;
                // A page asks for many things at once: one of them may have been first.
                if let Some(identity) = self.cache.get(&digest) {
                    return Ok(identity);
                }
                let (policy, token) = (Arc::clone(self), Box::<[u8]>::from(token));
                place.work(move || policy.verify(&token)).await??
            }
        };
        self.cache.put(digest, Arc::clone(&identity), holds);
        Ok(identity)
    }

    /// The token, from the first place that has one.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a [u8]>, Denial> {
        if let Some(token) = authorization(headers, SCHEME)? {
            return Ok(Some(token));
        }
        if let Some(name) = &self.header
            && let Some(token) = only(headers, name)?
        {
            return Ok(Some(token));
        }
        self.cookie.as_ref().map_or(Ok(None), |name| cookie(headers, name))
    }

    /// Takes the token out of a request.
    ///
    /// # Errors
    ///
    /// None that is known of.
    pub fn conceal(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        remove_authorization(request, SCHEME);
        if let Some(name) = &self.header {
            request.remove_header(name);
        }
        self.cookie.as_ref().map_or(Ok(()), |name| remove_cookie(request, name))
    }

    /// Verifies a token: its signature, then its claims.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn verify(&self, token: &[u8]) -> Result<Verified, Denial> {
        let mut parts = token.split(|b| *b == b'.');
        let (Some(header), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denial::Malformed);
        };
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Denial::Malformed)?;
        let header: Map<String, Value> =
            serde_json::from_slice(&header).map_err(|_| Denial::Malformed)?;
        // No extension is understood here (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Denial::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Denial::Malformed)?;
        let algorithm = Algorithm::from_str(algorithm).map_err(|_| Denial::Algorithm)?;
        let id = match header.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().ok_or(Denial::Malformed)?),
        };
        let (_, check) = self
            .checks
            .iter()
            .find(|(allowed, _)| *allowed == algorithm)
            .ok_or(Denial::Algorithm)?;
        let mut denial = Denial::UnknownKey;
        for key in self.keys.fitting(algorithm, id) {
            match jsonwebtoken::decode::<Map<String, Value>>(token, key, check) {
                Ok(token) => return self.understood(&token.claims),
                Err(error) => match self::denial(error.kind()) {
                    // It may be another key's.
                    Denial::Signature => denial = Denial::Signature,
                    other => return Err(other),
                },
            }
        }
        Err(denial)
    }

    /// What claims say whose signature and times are right.
    fn understood(&self, claims: &Map<String, Value>) -> Result<Verified, Denial> {
        // A list of issuers is nobody (RFC 7519, section 4.1.1).
        if claims.get("iss").is_some_and(|issuer| !issuer.is_string()) {
            return Err(Denial::Issuer);
        }
        if !self.has_audience && claims.contains_key("aud") {
            return Err(Denial::Audience);
        }
        let user = claims.get(&*self.user_claim).and_then(text).ok_or(Denial::User)?;
        let value = field_value(&user).ok_or(Denial::User)?;
        let told = |(claim, field): &(Box<str>, HeaderName)| {
            let value = field_value(&text(claims.get(&**claim)?)?)?;
            Some((field.clone(), value))
        };
        let told: Vec<(HeaderName, HeaderValue)> =
            self.claim_fields.iter().filter_map(told).collect();
        let allowed = &self.allowed_users;
        let permitted = (allowed.is_empty() || allowed.iter().any(|other| **other == *user))
            && self.required.iter().all(|(name, values)| holds_one(name, claims, values));
        let identity = Identity::new(value, &self.user_field, told, permitted);
        Ok(Verified { identity, holds: self.holds(claims) })
    }

    /// How long from now claims hold that hold now.
    fn holds(&self, claims: &Map<String, Value>) -> Duration {
        let Some(exp) = claims.get("exp").and_then(Value::as_f64) else { return Duration::MAX };
        let end = Duration::try_from_secs_f64(exp).unwrap_or(Duration::MAX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        end.saturating_add(self.leeway).saturating_sub(now)
    }
}

/// What the library looks at.
fn validation(written: &JwtAuth, algorithm: Algorithm) -> Validation {
    let mut check = Validation::new(algorithm);
    check.leeway = written.leeway.as_secs();
    // A token has expired at its `exp` and not a second later (RFC 7519, section
    // 4.1.4).
    check.reject_tokens_expiring_in_less_than = 1;
    check.validate_nbf = true;
    check.required_spec_claims.clear();
    if written.require_exp {
        check.required_spec_claims.insert("exp".to_owned());
    }
    if !written.issuer.is_empty() {
        check.set_issuer(&written.issuer);
        check.required_spec_claims.insert("iss".to_owned());
    }
    if !written.audience.is_empty() {
        check.set_audience(&written.audience);
        check.required_spec_claims.insert("aud".to_owned());
    }
    check
}

fn denial(error: &ErrorKind) -> Denial {
    match error {
        ErrorKind::InvalidSignature => Denial::Signature,
        ErrorKind::ExpiredSignature => Denial::Expired,
        ErrorKind::ImmatureSignature => Denial::NotYetValid,
        ErrorKind::InvalidIssuer => Denial::Issuer,
        ErrorKind::InvalidAudience => Denial::Audience,
        ErrorKind::InvalidAlgorithm => Denial::Algorithm,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Denial::Claim,
        _ => Denial::Malformed,
    }
}

/// A claim that can be told: text, a number, or a truth value.
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a claim has one of the values. The claim `scope` is a list whose items
/// stand between spaces (RFC 8693, section 4.2).
fn holds_one(name: &str, claims: &Map<String, Value>, values: &[String]) -> bool {
    let is_one = |claim: &Value| text(claim).is_some_and(|text| values.contains(&text));
    match claims.get(name) {
        Some(Value::Array(items)) => items.iter().any(is_one),
        Some(Value::String(scopes)) if name == "scope" => {
            scopes.split(' ').any(|scope| values.iter().any(|value| value == scope))
        }
        Some(claim) => is_one(claim),
        None => false,
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
