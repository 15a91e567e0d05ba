//! Fixed contents in several formats and encodings.

use std::io::{self, Write};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::reply;
use super::echo;

pub(super) async fn index() -> Response {
    const BODY: &str = "<h1>The lab's httpbin</h1>\n\
        <p>It echoes requests and makes answers to order. To begin with:</p>\n\
        <ul>\n\
        <li><a href=\"/get?lesson=1\">/get?lesson=1</a>: what was asked</li>\n\
        <li><a href=\"/headers\">/headers</a>: with which header fields</li>\n\
        <li><a href=\"/status/418\">/status/418</a>: a status to order</li>\n\
        <li><a href=\"/delay/2\">/delay/2</a>: an answer that takes two seconds</li>\n\
        <li><a href=\"/redirect/3\">/redirect/3</a>: three redirects</li>\n\
        </ul>";
    reply::typed(StatusCode::OK, reply::HTML, reply::page("The lab's httpbin", BODY))
}

pub(super) async fn html() -> Response {
    const BODY: &str = "<h1>The clerk at the counter</h1>\n\
        <p>Three windows stood behind the long counter, and a single clerk walked in front of \
        them. Whoever came in spoke to the clerk and to nobody else. The clerk listened, thought \
        for no longer than a breath, and carried the question to one of the windows; when the \
        answer came, the clerk carried that back.</p>\n\
        <p>Now and then a window stayed shut. The clerk knocked, waited as long as was decent, \
        and went on to the next one, and the visitor never learned of it. That was the whole of \
        the clerk's art: to know which windows were open, and to lose nothing on the way.</p>";
    reply::typed(StatusCode::OK, reply::HTML, reply::page("The clerk at the counter", BODY))
}

pub(super) async fn json() -> Response {
    let slideshow = json!({
        "slideshow": {
            "author": "The lab",
            "date": "the day of the workshop",
            "slides": [
                { "title": "One door, three rooms", "type": "all" },
                {
                    "items": [
                        "Why a <em>proxy</em> must not guess",
                        "What <em>retries</em> may and may not repeat",
                    ],
                    "title": "In this lesson",
                    "type": "all",
                },
            ],
            "title": "Load balancing by hand",
        },
    });
    reply::json(StatusCode::OK, &slideshow)
}

pub(super) async fn uuid() -> Response {
    reply::json(StatusCode::OK, &json!({ "uuid": uuid::Uuid::new_v4().to_string() }))
}

pub(super) async fn gzip(call: Call) -> Response {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let encoded = encoder.write_all(description(&call, "gzipped").as_bytes());
    encoded_as("gzip", encoded.and_then(|()| encoder.finish()))
}

/// `deflate` in HTTP is the zlib format (RFC 9110, section 8.4.1.2).
pub(super) async fn deflate(call: Call) -> Response {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let encoded = encoder.write_all(description(&call, "deflated").as_bytes());
    encoded_as("deflate", encoded.and_then(|()| encoder.finish()))
}

fn encoded_as(coding: &'static str, data: io::Result<Vec<u8>>) -> Response {
    match data {
        Ok(data) => {
            let response = reply::typed(StatusCode::OK, reply::JSON, data);
            reply::with(response, header::CONTENT_ENCODING, HeaderValue::from_static(coding))
        }
        // Writing to memory does not fail; the type does not know that.
        Err(error) => reply::error_json(
            StatusCode::INTERNAL_SERVER_ERROR,
            "encoding_failed",
            &format!("The body could not be encoded: {error}."),
        ),
    }
}

fn description(call: &Call, mark: &str) -> String {
    let fields: Map<String, Value> = [
        (mark, true.into()),
        ("headers", echo::headers_of(call)),
        ("method", call.method.as_str().into()),
        ("origin", echo::origin(call)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut value = Value::Object(fields);
    value.sort_all_objects();
    reply::pretty(&value)
}
