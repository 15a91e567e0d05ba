//! The routes that say what the request was.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::call::{Call, Pairs, parse_pairs};
use super::super::reply;

/// Header fields that a platform in front adds; echoed only with `show_env`.
const FROM_THE_PLATFORM: [&str; 15] = [
    "connect-time",
    "total-route-time",
    "via",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-heroku-dynos-in-use",
    "x-heroku-queue-depth",
    "x-heroku-queue-wait-time",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-varnish",
];

/// What a request's body says, by its content type.
#[derive(Default)]
struct Content {
    /// The body as it is, unless it was a form.
    data: Vec<u8>,
    form: Pairs,
    files: Pairs,
}

pub(super) async fn get(call: Call) -> Response {
    answer(request_only(&call))
}

pub(super) async fn with_body(call: Call) -> Response {
    answer(whole(&call, true).await)
}

pub(super) async fn anything(call: Call) -> Response {
    let mut echo = whole(&call, true).await;
    echo.insert("method".to_owned(), call.method.as_str().into());
    answer(echo)
}

pub(super) async fn headers(call: Call) -> Response {
    answer([("headers".to_owned(), headers_of(&call))].into_iter().collect())
}

pub(super) async fn ip(call: Call) -> Response {
    answer([("origin".to_owned(), origin(&call))].into_iter().collect())
}

pub(super) async fn user_agent(call: Call) -> Response {
    let agent = call.header(header::USER_AGENT).map_or(Value::Null, Value::from);
    answer([("user-agent".to_owned(), agent)].into_iter().collect())
}

/// A JSON answer, its names sorted as httpbin sorts them.
pub(super) fn answer(echo: Map<String, Value>) -> Response {
    let mut value = Value::Object(echo);
    value.sort_all_objects();
    reply::json(StatusCode::OK, &value)
}

/// `url`, `args`, `headers`, `origin`.
pub(super) fn request_only(call: &Call) -> Map<String, Value> {
    let fields = [
        ("url", url(call)),
        ("args", flatten(call.args())),
        ("headers", headers_of(call)),
        ("origin", origin(call)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The same and `data`, `form`, `files`; `json` too if wanted.
pub(super) async fn whole(call: &Call, with_json: bool) -> Map<String, Value> {
    let content = Content::of(call).await;
    let mut echo = request_only(call);
    if with_json {
        echo.insert("json".to_owned(), serde_json::from_slice(&content.data).unwrap_or_default());
    }
    echo.insert("data".to_owned(), text_or_data_url(&content.data, None).into());
    echo.insert("form".to_owned(), flatten(content.form));
    echo.insert("files".to_owned(), flatten(content.files));
    echo
}

/// Who asked: `X-Forwarded-For` as it is, else the peer's address.
pub(super) fn origin(call: &Call) -> Value {
    let forwarded = joined(call, "x-forwarded-for", ",");
    forwarded.unwrap_or_else(|| call.peer.to_string()).into()
}

/// The header fields, named as CGI servers name them (`X-Request-Id`).
pub(super) fn headers_of(call: &Call) -> Value {
    let show_all = call.arg("show_env").is_some();
    let mut fields = Map::new();
    for name in call.headers.keys() {
        let name = name.as_str();
        if show_all || !FROM_THE_PLATFORM.contains(&name) {
            let separator = if name == "cookie" { "; " } else { "," };
            let value = joined(call, name, separator).unwrap_or_default();
            fields.insert(title_case(name), value.into());
        }
    }
    Value::Object(fields)
}

fn joined(call: &Call, name: &str, separator: &str) -> Option<String> {
    let values = call.headers.get_all(name).into_iter();
    let texts: Vec<_> = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    (!texts.is_empty()).then(|| texts.join(separator))
}

/// A letter after anything but a letter is a capital: `x-b3-id`, `X-B3-Id`.
fn title_case(name: &str) -> String {
    let mut after_letter = false;
    let capital = |letter: char| {
        let cased = if after_letter { letter } else { letter.to_ascii_uppercase() };
        after_letter = letter.is_ascii_alphabetic();
        cased
    };
    name.chars().map(capital).collect()
}

/// The whole URL, with the scheme that a proxy in front says it had.
fn url(call: &Call) -> Value {
    let forwarded = ["x-forwarded-proto", "x-forwarded-protocol"];
    let scheme = forwarded.iter().find_map(|name| call.header(*name).filter(|v| !v.is_empty()));
    let over_tls = call.header("x-forwarded-ssl") == Some("on");
    let scheme = scheme.unwrap_or(if over_tls { "https" } else { "http" });
    format!("{scheme}://{}{}", call.host(), readable(call.target())).into()
}

/// The target with the escapes undone that need not be there: those of letters
/// in any script, digits and `-._~` (RFC 3987, section 3.2).
fn readable(target: &str) -> String {
    let mut readable = String::with_capacity(target.len());
    let mut rest = target;
    while let Some(place) = rest.find('%') {
        readable.push_str(&rest[..place]);
        rest = &rest[place..];
        // All escapes in a row, since one letter may take several.
        let mut bytes = Vec::new();
        while let Some(byte) = escaped(&rest[3 * bytes.len()..]) {
            bytes.push(byte);
        }
        let run = &rest[..3 * bytes.len()];
        let mut from = 0;
        for chunk in bytes.utf8_chunks() {
            for letter in chunk.valid().chars() {
                let to = from + 3 * letter.len_utf8();
                let plain =
                    !letter.is_ascii() || letter.is_ascii_alphanumeric() || "-._~".contains(letter);
                if plain {
                    readable.push(letter);
                } else {
                    readable.push_str(&run[from..to]);
                }
                from = to;
            }
            let to = from + 3 * chunk.invalid().len();
            readable.push_str(&run[from..to]);
            from = to;
        }
        // A `%` that begins no escape stands for itself.
        let after = if run.is_empty() { 1 } else { run.len() };
        readable.push_str(&rest[run.len()..after]);
        rest = &rest[after..];
    }
    readable + rest
}

/// The byte that an escape at the beginning stands for.
fn escaped(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    // `from_str_radix` would take a sign.
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// A name that comes once has its value; one that comes again has an array.
pub(super) fn flatten(pairs: Pairs) -> Value {
    let mut fields = Map::new();
    for (name, value) in pairs {
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(fields)
}

/// Text as it is; anything else as a data URL (RFC 2397).
fn text_or_data_url(data: &[u8], media_type: Option<&str>) -> String {
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let media_type = media_type.unwrap_or("application/octet-stream");
            format!("data:{media_type};base64,{}", STANDARD.encode(data))
        }
    }
}

// === impl Content ===

impl Content {
    async fn of(call: &Call) -> Self {
        match call.media_type().as_str() {
            "application/x-www-form-urlencoded" => {
                Self { form: parse_pairs(&call.body), ..Self::default() }
            }
            "multipart/form-data" => Self::of_multipart(call).await,
            _ => Self { data: call.body.to_vec(), ..Self::default() },
        }
    }

    /// Parts up to the first that is broken.
    async fn of_multipart(call: &Call) -> Self {
        let mut content = Self::default();
        let mut request = Request::new(Body::from(call.body.clone()));
        if let Some(media_type) = call.headers.get(header::CONTENT_TYPE) {
            request.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
        }
        // The frontage has bounded the body already.
        DefaultBodyLimit::disable().apply(&mut request);
        let Ok(mut parts) = Multipart::from_request(request, &()).await else { return content };
        while let Ok(Some(part)) = parts.next_field().await {
            let Some(name) = part.name().map(str::to_owned) else { continue };
            let is_file = part.file_name().is_some();
            let media_type = part.content_type().map(str::to_owned);
            let Ok(data) = part.bytes().await else { break };
            if is_file {
                content.files.push((name, text_or_data_url(&data, media_type.as_deref())));
            } else {
                content.form.push((name, String::from_utf8_lossy(&data).into_owned()));
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::{readable, title_case};

    #[test]
    fn escapes_that_need_not_be_there_are_undone() {
        for (target, expected) in [
            ("/plain?a=1", "/plain?a=1"),
            ("/%E4%B8%AD%20%41%2F", "/中%20A%2F"),
            ("/%FF%E4%B8%AD%E4x", "/%FF中%E4x"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/%+1中", "/%+1中"),
        ] {
            assert_eq!(readable(target), expected);
        }
    }

    #[test]
    fn header_names_have_capitals() {
        assert_eq!(title_case("x-request-id"), "X-Request-Id");
        assert_eq!(title_case("te"), "Te");
        assert_eq!(title_case("x-3com-b2b"), "X-3Com-B2B");
    }
}
