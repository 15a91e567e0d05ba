//! Answers whose time or form the client shapes: `/delay`, `/drip`, `/stream`,
//! `/response-headers`.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::super::call::{Call, Pairs};
use super::super::reply;
use super::parameter::{Number, parse_seconds, seconds, whole};
use super::{Refusal, echo};

/// The longest `/delay`.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The longest that any other answer may be asked to take. httpbin has no
/// limit; a laboratory has an end.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// The most bytes that `/drip` sends.
const DRIP_LIMIT: i64 = 10 * 1024 * 1024;

/// The most lines that `/stream` sends.
const STREAM_LIMIT: u64 = 100;

/// Timers have a resolution of 1 ms; pieces closer than this are sent as one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn delay(Path(text): Path<String>, call: Call) -> Result<Response, Refusal> {
    tokio::time::sleep(parse_seconds("delay", &text, LONGEST_DELAY)?).await;
    Ok(echo::answer(echo::whole(&call, false).await))
}

/// `numbytes` asterisks over `duration` seconds, after `delay` seconds.
pub(super) async fn drip(call: Call) -> Result<Response, Refusal> {
    let duration = seconds(&call, "duration", Duration::from_secs(2), LONGEST)?;
    let delay = seconds(&call, "delay", Duration::ZERO, LONGEST)?;
    let size = whole(&call, "numbytes", 10)?.min(DRIP_LIMIT);
    let code = u16::try_from(whole(&call, "code", 200)?).ok();
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    let Some(status) = status.filter(|status| !status.is_informational()) else {
        return Err(Refusal::bad_request("Invalid status code"));
    };
    if size <= 0 {
        return Err(Refusal::bad_request("number of bytes must be positive"));
    }
    tokio::time::sleep(delay).await;

    let size = size as usize;
    let most = (duration.as_nanos() / SHORTEST_PAUSE.as_nanos()).max(1) as usize;
    let count = size.min(most);
    // The first pieces take what does not divide evenly.
    let piece = |number| Bytes::from(vec![b'*'; size / count + usize::from(number < size % count)]);
    let body = paced((0..count).map(piece).collect(), duration);
    let response = reply::typed(status, reply::BYTES, body);
    Ok(reply::with(response, header::CONTENT_LENGTH, size.into()))
}

/// A body whose pieces are spread evenly over this time, the first at once.
pub(super) fn paced(pieces: Vec<Bytes>, duration: Duration) -> Body {
    if duration.is_zero() || pieces.is_empty() {
        return Body::from(pieces.concat());
    }
    let pause = duration / u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let start = Instant::now();
    let timed = stream::iter(pieces).enumerate().then(move |(number, piece)| async move {
        // From the start, so that what one piece is late by is not added up.
        let due = start + pause.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        tokio::time::sleep_until(due).await;
        Ok::<_, io::Error>(piece)
    });
    Body::from_stream(timed)
}

/// Up to 100 lines, each a JSON object with the request and the line's number.
pub(super) async fn stream(Number(n): Number, call: Call) -> Response {
    let echo = echo::request_only(&call);
    let lines = (0..n.min(STREAM_LIMIT)).map(move |id| {
        let mut echo = echo.clone();
        echo.insert("id".to_owned(), id.into());
        Ok::<_, io::Error>(Value::Object(echo).to_string() + "\n")
    });
    reply::typed(StatusCode::OK, reply::JSON, Body::from_stream(stream::iter(lines)))
}

/// The parameters of the query as response headers, and all headers as JSON.
pub(super) async fn response_headers(call: Call) -> Result<Response, Refusal> {
    let mut wanted = Vec::new();
    for (name, value) in call.args() {
        let header = HeaderName::try_from(&name).ok().filter(|name| !is_reserved(name));
        let Some(header) = header else {
            return Err(Refusal::bad_request(format!("{name} cannot be set as a response header")));
        };
        let Ok(content) = HeaderValue::try_from(&value) else {
            return Err(Refusal::bad_request(format!("the value of {name} cannot be in a header")));
        };
        wanted.push((name, header, content, value));
    }
    let shown: Pairs = wanted.iter().map(|(name, _, _, v)| (name.clone(), v.clone())).collect();
    let mut response = reply::typed(StatusCode::OK, reply::JSON, describing_itself(&shown));
    for (_, name, value, _) in wanted {
        if name == header::CONTENT_TYPE {
            response.headers_mut().insert(name, value);
        } else {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// Headers that frame the message, or that say what the lab itself observed.
fn is_reserved(name: &HeaderName) -> bool {
    const FRAMING: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    FRAMING.contains(name) || name == "keep-alive" || name.as_str().starts_with("x-lab-")
}

/// The JSON of the headers, which include the length of that JSON.
fn describing_itself(shown: &[(String, String)]) -> String {
    let mut length = 0;
    loop {
        let mut pairs = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Content-Length".to_owned(), length.to_string()),
        ];
        for (name, value) in shown {
            if name.eq_ignore_ascii_case("content-type") {
                pairs[0].1.clone_from(value);
            } else {
                pairs.push((name.clone(), value.clone()));
            }
        }
        let mut value = echo::flatten(pairs);
        value.sort_all_objects();
        let text = reply::pretty(&value);
        // Only the digits of the length change; it settles in a few rounds.
        if text.len() == length {
            return text;
        }
        length = text.len();
    }
}
