//! What `/status` says. Its keys are described in `docs/operation.md`, and stay.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{Desk, Running};
use crate::proxy::metrics::Metrics;
use crate::proxy::route::{Action, Route};
use crate::proxy::{BackendState, Pool, Snapshot};
use crate::server::operator::Reload;

/// Everything that is known now.
pub fn of(desk: &Desk) -> Value {
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "state": desk.phase().id(),
        "ready": desk.ready().is_ok(),
        "started_at": desk.began_at.to_string(),
        "uptime_seconds": desk.began.elapsed().as_secs_f64(),
        "requests_in_flight": desk.in_flight.count(),
        "connections": {
            "open": desk.connections.open(),
            "accepted": desk.connections.accepted(),
            "refused": desk.connections.refused(),
        },
    });
    if let (Some(running), Some(known)) = (desk.running.get(), status.as_object_mut()) {
        let snapshot = running.operator.current().load();
        let allowed = running.operator.loaded().connections;
        known["connections"]["limit"] = desk.connections.most(allowed).into();
        known.extend([
            ("configuration".to_owned(), configuration(running)),
            ("last_reload".to_owned(), running.operator.last_reload().map_or(Value::Null, reload)),
            ("listeners".to_owned(), listeners(running)),
            ("routes".to_owned(), routes(&snapshot, &desk.metrics)),
            ("pools".to_owned(), snapshot.pools().iter().map(pool).collect()),
        ]);
    }
    status
}

fn configuration(running: &Running) -> Value {
    let operator = &running.operator;
    let loaded = operator.loaded();
    json!({
        "file": operator.file().map(|file| file.display().to_string()),
        "sha256": loaded.sha256,
        "loaded_at": loaded.at.to_string(),
        "needs_restart": loaded.needs_restart,
    })
}

fn reload(reload: Reload) -> Value {
    let mut told = json!({ "at": reload.at.to_string(), "successful": reload.result.is_ok() });
    match reload.result {
        Ok(reloaded) => told["reloaded"] = json!(reloaded),
        Err(error) => told["error"] = json!(error),
    }
    told
}

fn listeners(running: &Running) -> Value {
    let listener =
        |(address, tls): &(SocketAddr, bool)| json!({ "address": address.to_string(), "tls": tls });
    running.listeners.iter().map(listener).collect()
}

fn routes(snapshot: &Snapshot, metrics: &Metrics) -> Value {
    let route = |route: &Arc<Route>| {
        let action = match route.action() {
            Action::Pool(_) => "pool",
            Action::Redirect(_) => "redirect",
            Action::Fixed(_) => "answer",
            Action::NotFound => "not_found",
        };
        json!({
            "name": route.name(),
            "action": action,
            "pool": route.pool().map(|pool| pool.name()),
            "requests": metrics.requests_of(route.name()),
        })
    };
    snapshot.routes().iter().map(route).collect()
}

fn pool(pool: &Arc<Pool>) -> Value {
    json!({
        "name": pool.name(),
        "takes_requests": pool.takes_requests(),
        "queued": pool.queued(),
        "backends": pool.state().iter().map(backend).collect::<Value>(),
    })
}

fn backend(backend: &BackendState) -> Value {
    let addresses = backend.addresses.iter().map(|at| {
        json!({
            "address": at.address.to_string(),
            "healthy": at.healthy,
            "breaker": at.breaker.id(),
            "in_flight": at.in_flight,
            "last_error": at.last_error,
        })
    });
    json!({
        "name": backend.label,
        "weight": backend.weight,
        "drained": backend.drained,
        "unresolved": backend.lost,
        "addresses": addresses.collect::<Value>(),
    })
}
