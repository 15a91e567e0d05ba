//! Answers of the admin listener that are errors, in the form of the proxy's own.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that is an error.
#[derive(Debug)]
pub struct Refusal {
    /// The status code.
    pub status: StatusCode,
    reason: &'static str,
    message: String,
}

// === impl Refusal ===

impl Refusal {
    /// With a reason for programs and a message for people.
    pub fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }

    pub(super) fn foreign_host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "foreign_host",
            "The Host of the request is not this listener: ask for localhost or for its address, \
             or add the name to hosts in [admin].",
        )
    }

    pub(super) fn foreign_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "The request was sent by a page of another site.",
        )
    }

    pub(super) fn no_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token_needed",
            "Send the token of [admin]: Authorization: Bearer TOKEN.",
        )
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, reason, message } = refusal;
        let body = json!({ "error": {
            "status": status.as_u16(),
            "reason": reason,
            "message": message,
        }});
        let mut response = (status, format!("{body}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Bearer realm=\"admin\"");
            headers.insert(WWW_AUTHENTICATE, realm);
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into()
    }
}
