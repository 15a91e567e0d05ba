//! `/redirect/{n}`: n redirects in a row, and then `/get`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::super::call::Call;
use super::super::reply;
use super::Refusal;
use super::parameter::Number;

pub(super) async fn redirect(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    let absolute = call.arg("absolute").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    step(n, &call, absolute)
}

pub(super) async fn relative(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    step(n, &call, false)
}

pub(super) async fn absolute(Number(n): Number, call: Call) -> Result<Response, Refusal> {
    step(n, &call, true)
}

fn step(n: u64, call: &Call, absolute: bool) -> Result<Response, Refusal> {
    let kind = if absolute { "absolute" } else { "relative" };
    let path = match n {
        0 => return Err(Refusal::bad_request("the number of redirects must be positive")),
        1 => "/get".to_owned(),
        n => format!("/{kind}-redirect/{}", n - 1),
    };
    let origin = if absolute { format!("http://{}", call.host()) } else { String::new() };
    to(&format!("{origin}{path}"))
}

/// A `302` to this place, with a page for who does not follow.
pub(super) fn to(location: &str) -> Result<Response, Refusal> {
    let Ok(value) = HeaderValue::from_str(location) else {
        return Err(Refusal::bad_request("the target of the redirect cannot be in a header"));
    };
    let body = "<h1>Elsewhere</h1>\n<p>The header <code>Location</code> says where.</p>";
    let response = reply::typed(StatusCode::FOUND, reply::HTML, reply::page("Elsewhere", body));
    Ok(reply::with(response, header::LOCATION, value))
}
