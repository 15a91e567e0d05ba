//! Metrics are for those who look after the program: on a listener of their own, where
//! nothing else is.

use super::REQUESTS;
use super::measured::Measured;
use crate::judge::client::Client;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// `/metrics` at the public listener is a path like any other; other paths at the admin
/// listener lead nowhere.
pub async fn not_public(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    measured.send(measured.request("GET")).await?;
    measured.scrape().await?;
    let request = measured.running.request("GET", "/metrics");
    let exchange = Exchange::of(scene, measured.running.client(), request).await;
    if let Ok(answer) = &exchange.answer
        && exchange.received.is_empty()
    {
        let shown = answer.text().contains(REQUESTS);
        let id = if shown { "metrics-public" } else { "metrics-path-taken" };
        return Err(exchange
            .found(scene, id)
            .compared("GET /metrics at a backend", format!("status {}", answer.status))
            .with("status", answer.status)
            .repeat(measured.by_hand(id))
            .fail());
    }
    exchange.through(scene, &measured.running).await?;

    let listens = measured.running.listens_on()?;
    let wide =
        listens.iter().find(|one| one.port() == measured.admin.port() && **one != measured.admin);
    if let Some(wide) = wide {
        let found = measured.found("admin-open-to-all").compared(measured.admin, wide);
        return Err(found.with("found", wide.to_string()).fail());
    }

    let client = Client::new(measured.admin);
    let request = client.request("GET", scene.draw.path());
    let exchange = Exchange::of(scene, client, request).await;
    if exchange.received.is_empty() {
        return Ok(());
    }
    let found = exchange.found(scene, "admin-forwards").compared("no backend", "a backend");
    let found = found.with("address", measured.admin.to_string());
    Err(found.repeat(measured.by_hand("admin-forwards")).fail())
}
