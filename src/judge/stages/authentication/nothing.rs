//! Whoever shows nothing, or something for another door.

use super::house::House;
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
    for (door, other) in [
        (&doors.staff.door, &token),
        (&doors.partners.door, &token),
        (&doors.web.door, &password),
        (&doors.mobile.door, &password),
    ] {
        let requests = ["GET", "POST", "HEAD"].map(|method| {
            let request = house.request_below(method, &door.prefix);
            let with_body = method == "POST";
            if with_body { request.body(scene.draw.bytes(40)) } else { request }
        });
        let requests = requests.map(|request| (request, "no Authorization".to_owned()));
        let scheme = other.split(' ').next().unwrap_or_default();
        let other = house.get_below(&door.prefix).header("Authorization", other);
        let other = (other, format!("Authorization: {scheme} …"));
        for (request, what) in requests.into_iter().chain([other]) {
            let exchange = house.send(request).await;
            let answer = house.answered(&exchange).await?;
            if answer.status == 200 {
                let found = house.found("let-in-without", door, &exchange);
                let found = found.compared(format!("{what}: 401"), answer.status);
                return Err(found.with("sent", what).fail());
            }
            house.refused(door, &exchange, answer, &what)?;
        }
    }
    Ok(())
}
