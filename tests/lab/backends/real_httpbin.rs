//! The stand-in for httpbin beside the real one, which is a Python package.
//!
//! Every route is asked the same of both. Skipped, with a line on stderr that
//! says why, where Python packages cannot be installed; a failure even there
//! if `PINGORA_LAB_REQUIRE_HTTPBIN=1`.

mod python;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pingora_lab::backends::Site;
use serde_json::Value;

use super::Lab;
use super::exchange::{self, Answer};
use crate::support::say;
use python::Httpbin;
use table::{Body, Case};

/// The headers that have a meaning here. `server` and `date` differ by right;
/// the real one's server takes `proxy-authenticate` away.
const COMPARED: [&str; 15] = [
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-max-age",
    "cache-control",
    "content-encoding",
    "content-range",
    "etag",
    "location",
    "set-cookie",
    "transfer-encoding",
    "www-authenticate",
    "x-a",
];

#[test]
fn the_stand_in_answers_like_the_real_httpbin_or_this_is_skipped() {
    let real = match Httpbin::start() {
        Ok(real) => real,
        Err(reason) => {
            let required = std::env::var("PINGORA_LAB_REQUIRE_HTTPBIN").is_ok_and(|v| v == "1");
            assert!(!required, "the real httpbin is required and missing: {reason}");
            say(&format!("SKIPPED: no comparison with the real httpbin: {reason}"));
            return;
        }
    };
    let lab = Lab::start();
    let ours = lab.address(Site::Httpbin);
    let mut differences = Vec::new();
    let cases = table::cases();
    for case in &cases {
        let expected =
            describe(case, real.address(), &exchange::fetch(real.address(), &case.request));
        let answered = describe(case, ours, &exchange::fetch(ours, &case.request));
        let names = expected.keys().chain(answered.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let (expected, answered) = (expected.get(name), answered.get(name));
            if expected != answered {
                let request = format!("{} {}", case.request.method, case.request.target);
                differences.push(format!(
                    "{request}: {name}\n   real: {expected:?}\n   ours: {answered:?}"
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
    say(&format!("{} requests answered like the real httpbin", cases.len()));
}

/// What an answer says, each part by its name.
fn describe(case: &Case, address: SocketAddr, answer: &Answer) -> BTreeMap<String, String> {
    // Each names itself; the same name for both.
    let neutral = |text: &str| text.replace(&address.to_string(), "HOST");
    let mut parts = BTreeMap::from([("status".to_owned(), answer.status.to_string())]);
    for name in COMPARED {
        let values: Vec<_> = answer.all(name).map(&neutral).collect();
        let volatile = case.volatile.contains(&name);
        if !values.is_empty() {
            let shown = if volatile { "present".to_owned() } else { values.join("\n") };
            parts.insert(name.to_owned(), shown);
        }
    }
    if let Some(allow) = answer.header("allow") {
        let mut methods: Vec<_> = allow.split(',').map(str::trim).collect();
        methods.sort_unstable();
        parts.insert("allow".to_owned(), methods.join(" "));
    }
    if case.body != Body::Ignored {
        let media_type = answer.header("content-type").unwrap_or("none");
        parts.insert("content-type".to_owned(), media_type.to_owned());
    }
    let body = match case.body {
        Body::Ignored => return parts,
        Body::Json => neutral(&sorted(answer.json()).to_string()),
        Body::JsonLines => {
            let lines = answer.text().lines().map(|line| serde_json::from_str(line).unwrap());
            let lines: Vec<_> = lines.map(|line| sorted(line).to_string()).collect();
            neutral(&lines.join("\n"))
        }
        Body::Compressed => {
            let mut text = String::new();
            let body = answer.body.as_slice();
            let read = match answer.header("content-encoding") {
                Some("gzip") => std::io::Read::read_to_string(
                    &mut flate2::read::GzDecoder::new(body),
                    &mut text,
                ),
                _ => std::io::Read::read_to_string(
                    &mut flate2::read::ZlibDecoder::new(body),
                    &mut text,
                ),
            };
            read.expect("a body that can be decoded");
            neutral(&sorted(serde_json::from_str(&text).unwrap()).to_string())
        }
        Body::Shape => shape(&answer.json()).to_string(),
        Body::Bytes => format!("{:?}", answer.body),
        Body::Length => answer.body.len().to_string(),
    };
    parts.insert("body".to_owned(), body);
    parts
}

fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// The same value with its texts emptied and its lists cut to their types.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), shape(value)));
            sorted(Value::Object(fields.collect()))
        }
        Value::Array(values) => Value::Array(values.iter().map(shape).collect()),
        Value::String(_) => Value::from("text"),
        other => other.clone(),
    }
}
