//! `/cache` and `/etag`: answers that a cache may keep, and conditions on them.

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::super::call::Call;
use super::super::frontage::date;
use super::super::reply;
use super::parameter::Number;
use super::{Refusal, echo, status};

/// `304` to any condition, else an answer with what a condition needs.
pub(super) async fn cache(call: Call) -> Response {
    let conditions = [header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH];
    if conditions.iter().any(|name| call.header(name).is_some_and(|value| !value.is_empty())) {
        return status::of(StatusCode::NOT_MODIFIED);
    }
    let response = reply::with(echo::get(call).await, header::LAST_MODIFIED, date());
    match HeaderValue::try_from(uuid::Uuid::new_v4().simple().to_string()) {
        Ok(tag) => reply::with(response, header::ETAG, tag),
        Err(_) => response,
    }
}

pub(super) async fn cache_for(Number(seconds): Number, call: Call) -> Response {
    let response = echo::get(call).await;
    match HeaderValue::try_from(format!("public, max-age={seconds}")) {
        Ok(value) => reply::with(response, header::CACHE_CONTROL, value),
        Err(_) => response,
    }
}

/// The entity tag of the path, under `If-None-Match` and `If-Match` (RFC 9110,
/// section 13.1).
pub(super) async fn etag(Path(etag): Path<String>, call: Call) -> Result<Response, Refusal> {
    let Ok(tag) = HeaderValue::try_from(&etag) else {
        return Err(Refusal::bad_request("the tag cannot be in a header"));
    };
    if let Some(matches) = names(&call, header::IF_NONE_MATCH, &etag) {
        if matches {
            return Ok(reply::with(status::of(StatusCode::NOT_MODIFIED), header::ETAG, tag));
        }
    } else if names(&call, header::IF_MATCH, &etag) == Some(false) {
        return Ok(status::of(StatusCode::PRECONDITION_FAILED));
    }
    Ok(reply::with(echo::get(call).await, header::ETAG, tag))
}

/// Whether the condition names the tag, or all; `None` without a condition.
fn names(call: &Call, condition: HeaderName, etag: &str) -> Option<bool> {
    let mut any = false;
    for item in call.list(condition) {
        any = true;
        let item = item.trim();
        let item = item.strip_prefix("W/").unwrap_or(item).trim_matches('"');
        if item == etag || item == "*" {
            return Some(true);
        }
    }
    any.then_some(false)
}
