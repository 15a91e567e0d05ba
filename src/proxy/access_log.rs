//! The one line that is left of a request.
//!
//! It goes through `tracing` as an event of the target `access`. The path is
//! logged without its query, which may hold what no log should. A request that is
//! refused before its header has been understood leaves a line without them.

use std::net::SocketAddr;

use pingora::Error;
use pingora_proxy::Session;
use tracing::info;

use super::answer::Reason;
use super::context::RequestContext;
use super::retry;

/// Writes the line of a request that has ended.
pub fn write(session: &Session, error: Option<&Error>, context: &RequestContext) {
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return;
    }
    let request = session.req_header();
    let reason = context.failure.or_else(|| error.map(retry::reason));
    let status = match (session.response_written(), reason) {
        (Some(answer), _) => answer.status.as_u16(),
        (None, Some(reason)) => reason.logged_status(),
        (None, None) => 0,
    };
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
        status,
        backend = context.endpoint().map_or("-", |e| e.identity.label.as_str()),
        attempts = context.attempts,
        duration_ms = context.duration().as_micros() as f64 / 1000.0,
        bytes = session.body_bytes_sent(),
        request_id = context.request_id.to_str().unwrap_or("-"),
        client = client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
        reason = reason.map(Reason::id),
    );
}

/// Writes the line of a request of which no more is known than that it was refused
/// before its header was whole, or because it is none.
pub fn unread(client: Option<SocketAddr>, reason: Reason) {
    info!(
        target: "access",
        method = "-",
        host = "-",
        path = "-",
        status = reason.status().as_u16(),
        backend = "-",
        attempts = 0,
        duration_ms = 0.0,
        bytes = 0,
        request_id = "-",
        client = client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
        reason = reason.id(),
    );
}
