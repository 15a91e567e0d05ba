//! The forms of answer that all lab backends share.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An answer of this media type.
pub(super) fn typed(
    status: StatusCode,
    media_type: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    with(bare(status, body), header::CONTENT_TYPE, media_type)
}

/// An answer without any header of its own.
pub(super) fn bare(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

/// The same answer with this header, in place of any of its name.
pub(super) fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Indented JSON and a newline, as a person at a terminal likes it.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    typed(status, JSON, pretty(value))
}

/// The text of [`json`].
pub(super) fn pretty(value: &impl Serialize) -> String {
    // A `Value` always serializes: its keys are strings.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// A whole HTML page; `body` is HTML already.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{title}</title>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
}

/// A small HTML page that says what went wrong.
pub(super) fn error_page(status: StatusCode, explanation: &str) -> Response {
    let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or("Error"));
    typed(status, HTML, page(&title, &format!("<h1>{title}</h1>\n<p>{explanation}</p>")))
}

/// A JSON object that says what went wrong; `error` is for programs.
pub(super) fn error_json(status: StatusCode, error: &str, message: &str) -> Response {
    json(status, &serde_json::json!({ "error": error, "message": message }))
}
