//! What can be asked of the admin listener.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::desk::{Desk, Phase};
use super::refusal::Refusal;
use super::status;
use crate::server::metrics;

/// All pages.
pub fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/pools/{pool}/backends/{backend}/drain", post(drain))
        .route("/pools/{pool}/backends/{backend}/enable", post(enable))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .with_state(desk)
}

async fn healthz() -> Response {
    fresh(json!({ "status": "alive" }))
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    match desk.ready() {
        Ok(()) => Ok(fresh(json!({ "status": "ready" }))),
        Err(reason) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            reason,
            match reason {
                "no_healthy_backend" => {
                    "A pool that a route uses has no backend that takes requests; /status says which."
                }
                "draining" => "No client is accepted any more.",
                _ => "Names are resolved and backends are checked; no client is answered yet.",
            },
        )),
    }
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    let running = desk.running.get().ok_or_else(|| not_running(&desk))?;
    let text = metrics::page(&desk, running).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "metrics_off",
            "Nothing is counted: [metrics] enabled = false.",
        )
    })?;
    let text = text.map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    })?;
    let mut response = text.into_response();
    let kind = HeaderValue::from_static(crate::proxy::metrics::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

async fn status(State(desk): State<Arc<Desk>>) -> Response {
    fresh(status::of(&desk))
}

async fn reload(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    if desk.phase() != Phase::Running {
        return Err(not_running(&desk));
    }
    match desk.reload().await {
        Some(Ok(reloaded)) => Ok(fresh(json!({ "reloaded": reloaded }))),
        Some(Err(error)) => Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "configuration_invalid",
            format!("The configuration was not reloaded, the old one stays: {error}"),
        )),
        None => Err(not_running(&desk)),
    }
}

async fn drain(
    State(desk): State<Arc<Desk>>,
    Path(names): Path<(String, String)>,
) -> Result<Response, Refusal> {
    set_drained(&desk, &names, true).await
}

async fn enable(
    State(desk): State<Arc<Desk>>,
    Path(names): Path<(String, String)>,
) -> Result<Response, Refusal> {
    set_drained(&desk, &names, false).await
}

async fn set_drained(
    desk: &Desk,
    (pool, backend): &(String, String),
    drained: bool,
) -> Result<Response, Refusal> {
    let running = desk.running.get().ok_or_else(|| not_running(desk))?;
    running.operator.set_drained(pool, backend, drained).await.map_err(|unknown| {
        Refusal::new(StatusCode::NOT_FOUND, "no_such_backend", unknown.to_string())
    })?;
    Ok(fresh(json!({ "pool": pool, "backend": backend, "drained": drained })))
}

async fn nowhere() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no_such_page",
        "There are GET /healthz, /readyz, /metrics, /status, and POST /reload, \
         /pools/POOL/backends/BACKEND/drain and /enable.",
    )
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Allow says which methods there are.",
    )
}

fn not_running(desk: &Desk) -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        desk.phase().id(),
        "Only a load balancer that answers clients can do that.",
    )
}

/// JSON that is true only now.
fn fresh(body: Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
