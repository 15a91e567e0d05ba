//! `/status/{codes}`: an answer of the status that the client asks for.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use rand::RngExt;
use serde_json::json;

use super::super::reply;
use super::Refusal;

/// Where a redirect that has no other target leads.
const ELSEWHERE: HeaderValue = HeaderValue::from_static("/redirect/1");

/// What a client that may not enter is asked for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Fake Realm\"");

/// One of the codes of `200`, `200,404` or `200:3,500:1`, each as often as its
/// weight says.
pub(super) async fn status(Path(codes): Path<String>) -> Result<Response, Refusal> {
    let choices = parse(&codes);
    let code = choices.and_then(|choices| choose(&choices, rand::rng().random()));
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    match status {
        // RFC 9110, section 15.2: another answer would have to follow.
        Some(status) if status.is_informational() => {
            Err(Refusal::bad_request("A 1xx status is no final answer"))
        }
        Some(status) => Ok(of(status)),
        None => Err(Refusal::bad_request("Invalid status code")),
    }
}

/// The answer that httpbin gives with this status.
pub(super) fn of(status: StatusCode) -> Response {
    let bare = || reply::bare(status, "");
    match status.as_u16() {
        301 | 302 | 303 | 305 | 307 => reply::with(bare(), header::LOCATION, ELSEWHERE),
        304 => bare(),
        401 => reply::with(bare(), header::WWW_AUTHENTICATE, CHALLENGE),
        407 => reply::with(bare(), header::PROXY_AUTHENTICATE, CHALLENGE),
        402 => reply::typed(status, reply::TEXT, "This one is on the house.\n"),
        406 => reply::json(
            status,
            &json!({
                "message": "The client accepts none of the media types there are.",
                "accept": ["image/webp", "image/svg+xml", "image/jpeg", "image/png", "image/*"],
            }),
        ),
        418 => reply::typed(status, reply::TEXT, "A teapot. Try the coffee machine next door.\n"),
        _ => reply::typed(status, reply::HTML, ""),
    }
}

/// The codes and their weights, or `None` where the text is neither.
fn parse(codes: &str) -> Option<Vec<(u16, f64)>> {
    if !codes.contains(',') {
        return Some(vec![(codes.parse().ok()?, 1.0)]);
    }
    let choice = |choice: &str| {
        let (code, weight) = choice.split_once(':').unwrap_or((choice, "1"));
        let weight =
            weight.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight >= 0.0);
        Some((code.parse().ok()?, weight?))
    };
    codes.split(',').map(choice).collect()
}

/// Picks by weight, for a `point` between 0 and 1.
fn choose(choices: &[(u16, f64)], point: f64) -> Option<u16> {
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut left = point * total;
    for &(code, weight) in choices {
        if left < weight {
            return Some(code);
        }
        left -= weight;
    }
    // All weights are 0, or rounding went past the end.
    choices.iter().rev().find(|(_, weight)| *weight > 0.0).map(|&(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::{choose, parse};

    #[test]
    fn weights_share_the_line_between_0_and_1() {
        let choices = parse("200:3,500").unwrap();
        assert_eq!(choose(&choices, 0.0), Some(200));
        assert_eq!(choose(&choices, 0.7499), Some(200));
        assert_eq!(choose(&choices, 0.7501), Some(500));
        assert_eq!(choose(&choices, 1.0), Some(500));
        assert_eq!(choose(&parse("200:0,500:0").unwrap(), 0.5), None);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for codes in ["", "abc", "200:1", "200,", "200,x", "200:x,500", "200:-1,500", "200:nan,500"]
        {
            assert_eq!(parse(codes), None, "{codes}");
        }
    }
}
