//! Credentials that are none: what comes from outside may be anything.

use super::doors::Door;
use super::house::House;
use super::issuer::part;
use super::users::encoded;
use crate::judge::client::Request;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// What cannot be read, and what can be read in two ways.
pub async fn broken_credentials(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    let doors = &house.doors;
    house.password_opens(&doors.staff).await?;
    house.token_opens(&doors.web).await?;

    let user = doors.staff.user();
    let latin = encoded([user.name.as_bytes(), b":\xff\xfe"].concat());
    let passwords = [
        ("Basic".to_owned(), "no user and password"),
        (format!("Basic %{}%", draw.word()), "no base64"),
        (format!("Basic {}", encoded(&user.name)), "no colon"),
        (format!("Basic {latin}"), "no UTF-8"),
        (format!("Basic{}", user.encoded()), "no space"),
        (format!("Basic {} {}", user.encoded(), draw.word()), "a word more"),
        (format!("Basic {}", encoded(":")), "empty"),
    ];
    for (credential, what) in passwords {
        unreadable(&house, &doors.staff.door, &credential, what).await?;
    }

    let issuer = &doors.web.issuer;
    let token = issuer.token(&draw.word())?;
    let parts: Vec<_> = token.split('.').collect();
    let header = part(b"{\"alg\":");
    let tokens = [
        ("Bearer".to_owned(), "no token"),
        (format!("Bearer {}", draw.word()), "one part"),
        (format!("Bearer {}.{}", parts[0], parts[1]), "two parts"),
        (format!("Bearer {token}.{}", part(b"{}")), "four parts"),
        ("Bearer ...".to_owned(), "empty parts"),
        (format!("Bearer {header}.{}.{}", parts[1], parts[2]), "a header that is no JSON"),
        (format!("Bearer {}", issuer.sign_bytes(b"[]")?), "claims that are a list"),
        (format!("Bearer {}", issuer.sign_bytes(b"\xff{")?), "claims that are no JSON"),
        (format!("Bearer {}", "a".repeat(6000)), "6000 letters"),
    ];
    for (credential, what) in tokens {
        unreadable(&house, &doors.web.door, &credential, what).await?;
    }

    // Whoever is behind this proxy may go by the other one.
    let wrong = user.with(&draw.word());
    for (first, second) in [(user.credential(), wrong.clone()), (wrong, user.credential())] {
        let request = house.get_below(&doors.staff.door.prefix);
        let request = request.header("Authorization", first).header("Authorization", second);
        refused(&house, &doors.staff.door, request, "two-credentials", "two fields").await?;
    }
    Ok(())
}

async fn unreadable(house: &House<'_>, door: &Door, credential: &str, what: &str) -> Outcome {
    let request = house.get_below(&door.prefix).header("Authorization", credential);
    refused(house, door, request, "broken-passes", what).await
}

/// 401, or 400: what is no credential is no request that could be understood.
async fn refused(
    house: &House<'_>,
    door: &Door,
    request: Request,
    id: &'static str,
    what: &str,
) -> Outcome {
    let exchange = house.send(request).await;
    let answer = house.answered(&exchange).await?;
    let id = match answer.status {
        400 | 401 => return Ok(()),
        200 => id,
        _ => "broken-answered-otherwise",
    };
    let found = house.found(id, door, &exchange).compared("401 (or 400)", answer.status);
    Err(found.with("sent", what).fail())
}
