//! The one line that is left of a request.
//!
//! It goes through `tracing` as an event of the target `access`. The path is
//! logged without its query, which may hold what no log should. Requests that
//! Pingora's parser refuses (400) never reach this place.

use std::net::SocketAddr;

use pingora_proxy::Session;
use tracing::info;

use super::context::RequestContext;
use super::outcome::Outcome;

/// Writes the line of a request that has ended.
pub fn write(session: &Session, outcome: &Outcome, context: &RequestContext) {
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return;
    }
    let request = session.req_header();
    let host = request
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()))
        .unwrap_or("-");
    let client = session
        .client_addr()
        .and_then(|client| client.as_inet())
        .map(|client| SocketAddr::new(client.ip().to_canonical(), client.port()));
    info!(
        target: "access",
        method = request.method.as_str(),
        host,
        path = request.uri.path(),
        status = outcome.status,
        backend = context.endpoint().map_or("-", |e| e.identity.label.as_str()),
        attempts = context.attempts,
        duration_ms = outcome.took.as_micros() as f64 / 1000.0,
        bytes = session.body_bytes_sent(),
        request_id = context.request_id.to_str().unwrap_or("-"),
        client = client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
        reason = outcome.reason.map(super::answer::Reason::id),
    );
}
