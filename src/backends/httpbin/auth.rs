//! `/basic-auth` and `/bearer`: paths that want credentials.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::call::Call;
use super::super::reply;
use super::status;

/// HTTP Basic authentication (RFC 7617) with the pair in the path.
pub(super) async fn basic(Path((user, password)): Path<(String, String)>, call: Call) -> Response {
    if credentials(&call) != Some((user.clone(), password)) {
        return status::of(StatusCode::UNAUTHORIZED);
    }
    reply::json(StatusCode::OK, &json!({ "authenticated": true, "user": user }))
}

fn credentials(call: &Call) -> Option<(String, String)> {
    let (scheme, encoded) = call.header(header::AUTHORIZATION)?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// A bearer token (RFC 6750), any.
pub(super) async fn bearer(call: Call) -> Response {
    match call.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => {
            reply::json(StatusCode::OK, &json!({ "authenticated": true, "token": token }))
        }
        None => {
            let response = reply::typed(StatusCode::UNAUTHORIZED, reply::HTML, "");
            reply::with(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
    }
}
