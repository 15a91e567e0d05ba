//! The backend hears how the client came (`x-forwarded-proto`), and not what the client says
//! of that.

use super::setup::{PLAIN, Setup, Way, curl, get, host_of};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The field.
const FIELD: &str = "x-forwarded-proto";

/// With TLS and without, over HTTP/1.1 and HTTP/2, with claims of the client's and without.
pub async fn forwarded_proto(scene: &Scene) -> Outcome {
    let (setup, [name, _]) = Setup::with_two_names(scene).await?;
    // Without a claim first: whoever has not written it yet should hear of that.
    for (way, right) in [(Way::Tls, "https"), (Way::Plain, "http"), (Way::Http2, "https")] {
        let exchange = setup.exchange(way, &name, get(&name, &scene.draw.path())).await?;
        told(&setup, &exchange, right, None).await?;
    }
    let mut claims = vec![
        (Way::Tls, "https", vec![(FIELD, "http")]),
        (Way::Plain, "http", vec![("X-Forwarded-Proto", "https")]),
        (Way::Http2, "https", vec![(FIELD, "http")]),
        (Way::Plain, "http", vec![("X-FORWARDED-PROTO", "https"), ("X-Forwarded-Proto", "https")]),
        (Way::Tls, "https", vec![(FIELD, ""), (FIELD, "http, ws")]),
    ];
    scene.draw.shuffle(&mut claims);
    for (way, right, claim) in claims {
        let request = get(&name, &scene.draw.path());
        let request =
            claim.iter().fold(request, |request, (field, value)| request.header(*field, value));
        let exchange = setup.exchange(way, &name, request).await?;
        told(&setup, &exchange, right, Some(&claim)).await?;
    }
    Ok(())
}

async fn told(
    setup: &Setup<'_>,
    exchange: &Exchange,
    right: &str,
    claim: Option<&[(&str, &str)]>,
) -> Outcome {
    setup.answered(exchange).await?;
    let Some(received) = exchange.received.first() else { return Ok(()) };
    let values = received.values(FIELD);
    let claimed = |value: &str| claim.is_some_and(|all| all.iter().any(|(_, one)| *one == value));
    let id = match values.as_slice() {
        [value] if *value == right => return Ok(()),
        [] => "proto-missing",
        values if values.iter().any(|value| claimed(value) && *value != right) => {
            "proto-of-the-client"
        }
        [_, _, ..] => "proto-twice",
        [value] if value.split(',').count() > 1 => "proto-of-the-client",
        ["https"] => "proto-always-https",
        ["http"] => "proto-not-https",
        [_] => "proto-misspelt",
    };
    let all = values.iter().map(|value| format!("{FIELD}: {value}")).collect::<Vec<_>>();
    let all = if all.is_empty() { format!("no {FIELD}") } else { all.join(" | ") };
    let said = claim.unwrap_or_default().iter().map(|(name, value)| match *value {
        // So curl sends an empty one.
        "" => format!(" -H '{name};'"),
        value => format!(" -H '{name}: {value}'"),
    });
    let said = format!("curl{}", said.collect::<String>());
    let claim = claim.map_or_else(String::new, |all| {
        let fields = all.iter().map(|(name, value)| format!("{name}: {value}"));
        fields.collect::<Vec<_>>().join(" | ")
    });
    let show = curl(right, "/headers?show_env=1", &host_of(&exchange.request));
    let show = show.replace(":6188", &format!(":{PLAIN}")).replacen("curl", &said, 1);
    Err(exchange
        .found(setup.scene, id)
        .compared(format!("{FIELD}: {right}"), &all)
        .with("right", right)
        .with("values", all)
        .with("claim", claim)
        .repeat(setup.by_hand(&[&show]))
        .fail())
}
