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
    let found = house.found("backend-asked-all-the-same", &staff.door, exchange);
    // Where nothing else comes, what comes is seen.
    let seen = |command: &String| match command.as_str() {
        "pingora-lab backends" => "nc -lk 127.0.0.1 6190".to_owned(),
        command => command.replacen("LAB_CONFIG=", "LAB_BACKENDS=127.0.0.1:6199 LAB_CONFIG=", 1),
    };
    let commands = found.repeat.iter().map(seen).collect();
    Err(found
        .repeat(commands)
        .compared("none of the refused at a backend", format!("{came} of {}", refused.len()))
        .with("refused", refused.len())
        .with("came", came)
        .with("backend", &*received.backend)
        .fail())
}
