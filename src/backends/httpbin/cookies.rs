//! `/cookies`: what the client sent, and cookies set and deleted.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::reply;
use super::{Refusal, redirects};

pub(super) async fn show(call: Call) -> Response {
    let mut cookies = Map::new();
    for value in call.headers.get_all(header::COOKIE) {
        for pair in String::from_utf8_lossy(value.as_bytes()).split(';') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = name.trim();
            // Of two with one name the first is the more specific (RFC 6265,
            // section 5.4).
            if !name.is_empty() && !cookies.contains_key(name) {
                cookies.insert(name.to_owned(), unquote(value.trim()).into());
            }
        }
    }
    let mut value = json!({ "cookies": Value::Object(cookies) });
    value.sort_all_objects();
    reply::json(StatusCode::OK, &value)
}

pub(super) async fn set_all(call: Call) -> Result<Response, Refusal> {
    let cookies = first_of_each(&call).into_iter();
    redirect_with(cookies.map(|(name, value)| format!("{name}={}; Path=/", quote(&value))))
}

pub(super) async fn set_one(
    Path((name, value)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    redirect_with([format!("{name}={}; Path=/", quote(&value))].into_iter())
}

pub(super) async fn delete(call: Call) -> Result<Response, Refusal> {
    const GONE: &str = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/";
    let cookies = first_of_each(&call).into_iter();
    redirect_with(cookies.map(|(name, _)| format!("{name}=; {GONE}")))
}

fn first_of_each(call: &Call) -> Vec<(String, String)> {
    let mut cookies: Vec<(String, String)> = Vec::new();
    for (name, value) in call.args() {
        if !cookies.iter().any(|(known, _)| *known == name) {
            cookies.push((name, value));
        }
    }
    cookies
}

fn redirect_with(cookies: impl Iterator<Item = String>) -> Result<Response, Refusal> {
    let mut response = redirects::to("/cookies")?;
    for cookie in cookies {
        let name = cookie.split('=').next().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Refusal::bad_request("a cookie must have a name of plain characters"));
        }
        let Ok(value) = HeaderValue::try_from(cookie) else {
            return Err(Refusal::bad_request("the cookie cannot be in a header"));
        };
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// A value with other than plain characters goes in quotes, and what could end
/// it is escaped, as Python's web servers do.
fn quote(value: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'()*+-./:<=>?@[]^_`{|}~".contains(&byte);
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte as char]),
            b',' | b';' | 0..0x20 | 0x7f.. => quoted.push_str(&format!("\\{byte:03o}")),
            _ => quoted.push(byte as char),
        }
    }
    quoted + "\""
}

fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else if let [escaped, tail @ ..] = tail {
            bytes.push(*escaped);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{quote, unquote};

    #[test]
    fn quoting_is_undone() {
        assert_eq!(quote("plain-1.0"), "plain-1.0");
        assert_eq!(quote("x y"), "\"x y\"");
        assert_eq!(quote("a;b\"c\\"), "\"a\\073b\\\"c\\\\\"");
        for value in ["", "x y", "a;b,c\"d\\e", "中文", "\\101"] {
            assert_eq!(unquote(&quote(value)), value);
        }
    }
}
