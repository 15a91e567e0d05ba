//! Signatures: whose they are, and what decides on how they are verified. The policy does, and
//! never the token (RFC 8725, section 3.1).

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::house::House;
use super::issuer::{Issuer, der, part, unsigned};
use super::shown::Bad;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Signed by somebody else, changed behind the signature, and a signature that was changed.
pub async fn wrong_signature(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        house.token_opens(door).await?;
        let issuer = &door.issuer;
        let forger = match issuer.algorithm {
            Algorithm::HS256 => Issuer::with_secret(draw),
            _ => Issuer::with_key(draw)?,
        };
        let claims = issuer.claims(&draw.word());
        let (right, forged) = (issuer.sign(&claims)?, forger.sign(&claims)?);
        let mut others = claims.clone();
        others.insert("sub".to_owned(), json!("admin"));
        let others = part(Value::Object(others).to_string().as_bytes());
        let parts: Vec<_> = right.split('.').collect();
        let [header, body, signature] = parts[..] else { continue };
        let changed = format!("{header}.{others}.{signature}");
        let last = format!("{header}.{body}.{}", with_another_end(signature));
        let empty = format!("{header}.{body}.");
        let unchecked = "signature-unchecked";
        let bad = vec![
            Bad::token(unchecked, "signed with another key", &forged),
            Bad::token(unchecked, "\"sub\" changed after it was signed", &changed),
            Bad::token(unchecked, "no signature", &empty),
            Bad::token(unchecked, "the end of the signature changed", &last),
        ];
        house.stays_shut(&door.door, bad).await?;
    }
    Ok(())
}

/// A signature of which the last letters stand for other bytes.
fn with_another_end(signature: &str) -> String {
    let (rest, end) = signature.split_at(signature.len().saturating_sub(2));
    // Some bits of the last letter stand for nothing; all of the one before do.
    let first = if end.starts_with('A') { 'B' } else { 'A' };
    format!("{rest}{first}{}", &end[end.len().min(1)..])
}

/// Tokens that say of themselves that they need no signature, in any spelling.
pub async fn alg_none(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        house.token_opens(door).await?;
        let claims = door.issuer.claims(&scene.draw.word());
        let signed = door.issuer.sign(&claims)?;
        let signature = signed.rsplit('.').next().unwrap_or_default();
        let mut bad = Vec::new();
        for spelling in ["none", "None", "NONE", "nOnE", ""] {
            let token = unsigned(spelling, &claims);
            let what = format!("\"alg\": \"{spelling}\"");
            bad.push(Bad::token("unsigned-passes", what.clone(), &token));
            let without_end = token.trim_end_matches('.');
            bad.push(Bad::token("unsigned-passes", format!("{what}, two parts"), without_end));
            let signed = format!("{token}{signature}");
            bad.push(Bad::token("unsigned-passes", format!("{what}, a signature"), &signed));
        }
        house.stays_shut(&door.door, bad).await?;
    }
    Ok(())
}

/// Tokens that are signed rightly, but not as the policy says: with the public key, which
/// everybody has, as if it were a secret; with another hash.
pub async fn other_algorithm(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    let (web, mobile) = (&house.doors.web, &house.doors.mobile);
    house.token_opens(web).await?;
    house.token_opens(mobile).await?;

    let issuer = &mobile.issuer;
    let claims = issuer.claims(&scene.draw.word());
    let (pem, der) = (issuer.verifier.as_str(), der(&issuer.verifier)?);
    let mut bad = Vec::new();
    for (what, key) in
        [("PEM", pem.as_bytes()), ("PEM, trimmed", pem.trim().as_bytes()), ("DER", &*der)]
    {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let token = issuer.sign_with_secret(&claims, algorithm, key)?;
            let what = format!("{algorithm:?} with the public key as the secret ({what})");
            bad.push(Bad::token("public-key-as-secret", what, &token));
        }
    }
    house.stays_shut(&mobile.door, bad).await?;

    let issuer = &web.issuer;
    let claims = issuer.claims(&scene.draw.word());
    let mut bad = Vec::new();
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = issuer.sign_with_secret(&claims, algorithm, issuer.verifier.as_bytes())?;
        bad.push(Bad::token("algorithm-of-the-token", format!("{algorithm:?}"), &token));
    }
    house.stays_shut(&web.door, bad).await
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn another_end_stands_for_other_bytes() {
        for length in [32, 64] {
            for byte in 0..=255 {
                let bytes = vec![byte; length];
                let changed = with_another_end(&part(&bytes));
                let changed = URL_SAFE_NO_PAD.decode(changed).unwrap();
                assert_ne!(changed, bytes);
                assert_eq!(changed[..length - 2], bytes[..length - 2]);
            }
        }
    }
}
