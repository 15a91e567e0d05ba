//! Backends believe what the proxy tells them of the user. So nobody else may say it.

use super::doors::{Door, USER_HEADER};
use super::house::House;
use super::shown::Bad;
use crate::judge::client::Request;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Whom everybody would like to be.
const SOMEBODY: &str = "admin";

/// Clients who say who they are, in the fields of all policies and in fields that a backend
/// cannot tell from them; through a door and where there is none.
pub async fn identity_stripped(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    let doors = &house.doors;
    house.password_opens(&doors.staff).await?;
    let fields = [USER_HEADER, &doors.partners.door.field, &doors.mobile.door.field];
    let credential = doors.staff.user().credential();
    let plain = fields.map(str::to_owned);
    let alike = fields.map(|field| field.replace('-', "_"));
    let [upper, both] = [fields.map(str::to_uppercase).to_vec(), [plain, alike].concat()];
    for names in [&both, &upper] {
        let request = house.get_below(&doors.staff.door.prefix);
        let request = request.header("Authorization", &credential);
        nobody_says(&house, request, names, "spoofed-identity").await?;
    }
    // Through no door, where nobody is asked.
    nobody_says(&house, house.get_below(&doors.open), &both, "spoofed-on-open-route").await?;
    // What is the backend's own affair is left to it.
    let own = format!("Basic {}", super::users::encoded(scene.draw.word()));
    let exchange = house.send(house.get_below(&doors.open).header("Authorization", &own)).await;
    let (received, _) = exchange.through(scene, &house.running).await?;
    if received.values("authorization") != [own.as_str()] {
        let found = house.found("authorization-lost", &doors.staff.door, &exchange);
        let actual = received.values("authorization").join(" | ");
        return Err(found.compared(own, actual).with("prefix", &*doors.open).fail());
    }
    Ok(())
}

/// The backend hears of nobody of this name, whatever fields the client says it in.
async fn nobody_says(
    house: &House<'_>,
    request: Request,
    fields: &[String],
    id: &'static str,
) -> Outcome {
    let said = |request: Request, field: &String| request.header(field.as_str(), SOMEBODY);
    let exchange = house.send(fields.iter().fold(request, said)).await;
    let (received, _) = exchange.through(house.scene, &house.running).await?;
    let says = |(_, value): &&(String, String)| value == SOMEBODY;
    // A name with underscores is told of only where it is the only one.
    let told: Vec<_> = received.headers.iter().filter(says).collect();
    let told = told.iter().min_by_key(|(name, _)| name.contains('_'));
    let Some((name, value)) = told else { return Ok(()) };
    let id = if name.contains('_') { "spoofed-look-alike" } else { id };
    let door = Door { field: name.clone(), ..house.doors.staff.door.clone() };
    let found = house.found(id, &door, &exchange);
    let actual = format!("{name}: {value}");
    Err(found.compared(format!("no {name} of the client's"), &actual).with("told", actual).fail())
}

/// A route has the policy that it names, and no other; and one that names none has none.
pub async fn as_routes_say(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    let doors = &house.doors;
    house.password_opens(&doors.staff).await?;
    house.password_opens(&doors.partners).await?;
    house.token_opens(&doors.web).await?;
    house.token_opens(&doors.mobile).await?;
    // With and without, and with what is wrong: nobody asks for it.
    let wrong = doors.staff.user().with(&scene.draw.word());
    for credential in [None, Some(&wrong)] {
        let request = house.get_below(&doors.open);
        let request = match credential {
            Some(credential) => request.header("Authorization", credential),
            None => request,
        };
        let exchange = house.send(request).await;
        let answer = house.answered(&exchange).await?;
        if answer.status == 401 {
            let found = house.found("asked-everywhere", &doors.staff.door, &exchange);
            let found = found.compared("200", "401").with("prefix", &*doors.open);
            return Err(found.fail());
        }
        exchange.through(scene, &house.running).await?;
    }
    let other = |policy: &str, credential: String| Bad {
        id: "any-policy-will-do",
        what: format!("[auth.{policy}]"),
        credential,
    };
    let token = |door: &super::doors::TokenDoor| -> Result<_, _> {
        Ok(format!("Bearer {}", door.issuer.token(&scene.draw.word())?))
    };
    let (staff, partners) = (&doors.staff, &doors.partners);
    let (web, mobile) = (&doors.web, &doors.mobile);
    for (door, bad) in [
        (&staff.door, other(&partners.door.policy, partners.user().credential())),
        (&partners.door, other(&staff.door.policy, staff.user().credential())),
        (&web.door, other(&mobile.door.policy, token(mobile)?)),
        (&mobile.door, other(&web.door.policy, token(web)?)),
    ] {
        house.stays_shut(door, vec![bad]).await?;
    }
    Ok(())
}
