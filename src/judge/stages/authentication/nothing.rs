//! Whoever shows nothing, or something for another door.

use super::house::House;
use super::shown::Bad;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Without a credential, with each method; and with one of another scheme.
pub async fn no_credentials(scene: &Scene) -> Outcome {
    let house = House::start(scene, Vec::new()).await?;
    let doors = &house.doors;
    house.password_opens(&doors.staff).await?;
    house.token_opens(&doors.web).await?;
    let password = doors.staff.user().credential();
    let token = format!("Bearer {}", doors.web.issuer.token(&scene.draw.word())?);
    for (door, other, credential) in [
        (&doors.staff.door, &doors.web.door, &token),
        (&doors.partners.door, &doors.web.door, &token),
        (&doors.web.door, &doors.staff.door, &password),
        (&doors.mobile.door, &doors.staff.door, &password),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            let request = house.request_below(method, &door.prefix);
            let with_body = method == "POST";
            let request = if with_body { request.body(scene.draw.bytes(40)) } else { request };
            let exchange = house.send(request).await;
            let (answer, what) = (house.answered(&exchange).await?, "no Authorization");
            if answer.status == 200 {
                let found = house.found("let-in-without", door, &exchange);
                return Err(found.compared(format!("{what}: 401"), 200).with("sent", what).fail());
            }
            house.refused(door, &exchange, answer, what)?;
        }
        let other = Bad {
            id: "any-policy-will-do",
            what: format!("[auth.{}]", other.policy),
            credential: credential.clone(),
        };
        house.stays_shut(door, vec![other]).await?;
    }
    Ok(())
}
