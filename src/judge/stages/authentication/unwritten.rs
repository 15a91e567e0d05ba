//! What opens doors is written nowhere: not into the log, not beside it, and not when the
//! program starts.

use super::doors::Door;
use super::house::House;
use super::issuer::now;
use super::users::User;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::access_log::lines::about;
use crate::judge::stages::own::refuse;

/// Credentials that are let in, that are refused, and that are let in where nobody answers.
pub async fn secrets_unwritten(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let house = House::start(scene, Vec::new()).await?;
    let doors = &house.doors;
    house.password_opens(&doors.staff).await?;
    house.token_opens(&doors.web).await?;
    let (staff, web, mobile) = (&doors.staff, &doors.web, &doors.mobile);
    let user = staff.user();
    let mistyped = User { password: draw.bytes(6).iter().map(letter).collect(), ..user.clone() };
    let mut late = web.issuer.claims(&draw.word());
    late.insert("exp".to_owned(), (now() - 9000).into());
    let tokens = [
        (&web.door, web.issuer.token(&draw.word())?),
        (&mobile.door, mobile.issuer.token(&draw.word())?),
        (&web.door, web.issuer.sign(&late)?),
    ];
    let mut secrets = vec![("secret", web.issuer.verifier.clone()), ("hash", user.hash.clone())];
    let mut sent: Vec<(&Door, String)> = Vec::new();
    for user in [user, &mistyped] {
        secrets.push(("password", user.password.clone()));
        secrets.push(("Authorization", user.encoded()));
        sent.push((&staff.door, user.credential()));
    }
    for (door, token) in &tokens {
        // A token without its signature opens nothing, but for those who forget to look.
        let signature = token.rsplit('.').next().unwrap_or_default();
        secrets.push(("Authorization", signature.to_owned()));
        sent.push((door, format!("Bearer {token}")));
    }
    let (mut first, mut last) = (String::new(), None);
    for nobody_answers in [false, true] {
        if nobody_answers {
            scene.plan("both backends refuse");
            house.backends.iter().try_for_each(|backend| refuse(scene, backend))?;
        }
        // Some take long to find that out.
        let step = if nobody_answers { 2 } else { 1 };
        for (door, credential) in sent.iter().step_by(step) {
            let exchange = house.show(door, credential).await;
            house.answered(&exchange).await?;
            nothing_written(&house, door, &exchange, &secrets)?;
            if first.is_empty() {
                first.clone_from(&exchange.request.target);
            }
            last = Some((*door, exchange));
        }
    }
    // A line may come behind its answer; those of all others have come by then.
    let Some((door, exchange)) = last else { return Ok(()) };
    // Whoever has written nothing of the first writes no log.
    if house.running.lines().iter().any(|line| line.contains(&first)) {
        about(&house.running, &exchange.request.target).await;
    }
    nothing_written(&house, door, &exchange, &secrets)
}

fn nothing_written(
    house: &House<'_>,
    door: &Door,
    exchange: &Exchange,
    secrets: &[(&'static str, String)],
) -> Outcome {
    let written = house.running.written();
    for (kind, secret) in secrets {
        let shown = written.iter().find(|(_, text)| text.contains(secret.as_str()));
        if let Some((stream, _)) = shown {
            return Err(house
                .found("secret-written", door, exchange)
                .compared(format!("no {kind}"), format!("{secret} on its {stream}"))
                .with("kind", *kind)
                .with("stream", *stream)
                .fail());
        }
    }
    Ok(())
}

fn letter(byte: &u8) -> char {
    char::from(b'a' + byte % 26)
}
