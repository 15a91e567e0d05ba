//! What tokens say (RFC 7519, section 4.1): for how long they hold, whose they are, and for
//! whom.

use serde_json::{Value, json};

use super::doors::TokenDoor;
use super::house::House;
use super::issuer::{Claims, now};
use super::shown::Bad;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// So many seconds past the leeway a token is no longer within it, however slow the machine is.
const PAST: i64 = 15;

/// And so many before the end of the leeway it is: a check is over by then.
const WITHIN: i64 = 8;

/// A long time, in seconds.
const LONG: i64 = 7200;

/// Right tokens, as plain as can be and less plain.
pub async fn good_token(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        let user = draw.word();
        let credential = format!("Bearer {}", door.issuer.token(&user)?);
        let what = format!("{:?}", door.issuer.algorithm);
        let exchange = house.opens(&door.door, &credential, "good-token-refused", &what).await?;
        house.told(&door.door, &exchange, &user)?;
    }
    for door in [&house.doors.web, &house.doors.mobile] {
        let user = format!("{}{}", draw.word(), draw.pick(&["ö", "é", "ñ", "王", "ж"]));
        let within = door.leeway - WITHIN;
        let (expired, early) = (now() - within, now() + within);
        let list = json!([draw.word(), door.issuer.audience]);
        for (id, what, claim) in [
            ("not-only-ascii", format!("\"sub\": \"{user}\""), ("sub", json!(user))),
            ("list-of-audiences", format!("\"aud\": {list}"), ("aud", list)),
            ("good-token-refused", "\"nbf\": …".to_owned(), ("nbf", json!(now() - LONG))),
            ("leeway-too-short", format!("\"exp\": now - {within}"), ("exp", json!(expired))),
            ("leeway-too-short", format!("\"nbf\": now + {within}"), ("nbf", json!(early))),
        ] {
            let mut claims = door.issuer.claims(&user);
            claims.insert(claim.0.to_owned(), claim.1);
            let credential = format!("Bearer {}", door.issuer.sign(&claims)?);
            let opened = house.opens(&door.door, &credential, id, &what).await;
            let opened =
                opened.map_err(|finding| finding.map(|found| found.with("leeway", door.leeway)));
            house.told(&door.door, &opened?, &user)?;
        }
    }
    let web = &house.doors.web;
    for scheme in ["bearer", "BEARER"] {
        let credential = format!("{scheme} {}", web.issuer.token(&draw.word())?);
        let what = format!("{scheme} …");
        house.opens(&web.door, &credential, "scheme-by-the-letter", &what).await?;
    }
    Ok(())
}

/// What has been over for long, what is just over, and what never ends.
pub async fn expired(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        let past = door.leeway + PAST;
        let (long, just) = (now() - LONG, now() - past);
        shut(&house, door, |user| {
            vec![
                bad(door, user, "exp-unchecked", format!("\"exp\": now - {LONG}"), |claims| {
                    set(claims, "exp", json!(long));
                }),
                bad(door, user, "leeway-too-long", format!("\"exp\": now - {past}"), |claims| {
                    set(claims, "exp", json!(just));
                }),
                bad(door, user, "exp-not-needed", "no \"exp\"".to_owned(), |claims| {
                    claims.remove("exp");
                }),
            ]
        })
        .await?;
    }
    Ok(())
}

/// What will hold one day, and what soon.
pub async fn not_yet_valid(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        // By the time it is looked at, some of it has gone by.
        let early = door.leeway + 2 * PAST;
        let (long, just) = (now() + LONG, now() + early);
        shut(&house, door, |user| {
            vec![
                bad(door, user, "nbf-unchecked", format!("\"nbf\": now + {LONG}"), |claims| {
                    set(claims, "exp", json!(long + LONG));
                    set(claims, "nbf", json!(long));
                }),
                bad(door, user, "leeway-too-long", format!("\"nbf\": now + {early}"), |claims| {
                    set(claims, "nbf", json!(just));
                }),
            ]
        })
        .await?;
    }
    Ok(())
}

/// What is for somebody else, for nobody, or from somebody else.
pub async fn wrong_audience(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    for door in [&house.doors.web, &house.doors.mobile] {
        let (audience, issuer) = (&door.issuer.audience, &door.issuer.name);
        let other = |id, claim: &'static str, value: Value| {
            move |user: &str| {
                bad(door, user, id, format!("\"{claim}\": {value}"), |claims| {
                    set(claims, claim, value.clone());
                })
            }
        };
        let none = |id, claim: &'static str| {
            move |user: &str| {
                bad(door, user, id, format!("no \"{claim}\""), |claims| {
                    claims.remove(claim);
                })
            }
        };
        let another = draw.word();
        let list = json!([draw.word(), draw.word()]);
        let longer = json!(format!("{audience}-{}", draw.word()));
        let else_where = json!(format!("https://{}.test/", draw.word()));
        let issuer_longer = json!(format!("{issuer}{}", draw.word()));
        shut(&house, door, |user| {
            vec![
                other("audience-unchecked", "aud", json!(another))(user),
                other("audience-unchecked", "aud", list)(user),
                other("audience-in-part", "aud", longer)(user),
                none("audience-not-needed", "aud")(user),
                other("issuer-unchecked", "iss", else_where)(user),
                other("issuer-unchecked", "iss", issuer_longer)(user),
                none("issuer-not-needed", "iss")(user),
            ]
        })
        .await?;
    }
    Ok(())
}

/// The door is one, and these tokens do not open it.
async fn shut(
    house: &House<'_>,
    door: &TokenDoor,
    bad: impl FnOnce(&str) -> Vec<Result<Bad, Finding>>,
) -> Outcome {
    house.token_opens(door).await?;
    let bad: Result<Vec<_>, _> = bad(&house.scene.draw.word()).into_iter().collect();
    let shut = house.stays_shut(&door.door, bad?).await;
    shut.map_err(|finding| finding.map(|found| found.with("leeway", door.leeway)))
}

/// A token whose claims were changed before it was signed.
fn bad(
    door: &TokenDoor,
    user: &str,
    id: &'static str,
    what: String,
    change: impl FnOnce(&mut Claims),
) -> Result<Bad, Finding> {
    let mut claims = door.issuer.claims(user);
    change(&mut claims);
    Ok(Bad::token(id, what, &door.issuer.sign(&claims)?))
}

fn set(claims: &mut Claims, claim: &str, value: Value) {
    claims.insert(claim.to_owned(), value);
}
