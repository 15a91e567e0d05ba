//! Whoever is not let in troubles nobody behind the proxy.

use super::house::House;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::reached;

/// How many of each kind are sent.
const ROW: usize = 3;

/// Without, with a wrong password, with bodies: none of it is received by a backend.
pub async fn backend_untouched(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    let staff = &house.doors.staff;
    house.password_opens(staff).await?;
    let mut refused = Vec::new();
    for _ in 0..ROW {
        for with in [None, Some(staff.user().with(&draw.word()))] {
            for method in ["GET", "POST"] {
                let request = house.request_below(method, &staff.door.prefix);
                let request = if method == "POST" { request.body(draw.bytes(50)) } else { request };
                let request = match &with {
                    Some(credential) => request.header("Authorization", credential),
                    None => request,
                };
                let exchange = house.send(request).await;
                house.answered(&exchange).await?;
                refused.push(exchange);
            }
        }
    }
    let is_one = |target: &str| refused.iter().find(|one| one.request.target == target);
    let reached = reached(scene, |received| is_one(&received.target).is_some());
    let Some((received, came)) = reached.await else { return Ok(()) };
    let exchange = is_one(&received.target).unwrap_or(&refused[0]);
    Err(house
        .found("backend-asked-all-the-same", &staff.door, exchange)
        .compared("none of the refused at a backend", format!("{came} of {}", refused.len()))
        .with("refused", refused.len())
        .with("came", came)
        .with("backend", &*received.backend)
        .fail())
}
