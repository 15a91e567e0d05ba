//! What a program writes of its requests.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::judge::client::Request;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::line;
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// How long a line may lag behind its answer.
const LAG: Duration = Duration::from_secs(2);

/// The pause between two looks at what was written.
const PAUSE: Duration = Duration::from_millis(10);

/// A field that every line has, with what must be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not empty.
    Text,
    /// A number.
    Number,
    /// Text; or nothing, where there was none.
    MaybeText,
}

/// The fields.
pub const FIELDS: [(&str, Kind); 6] = [
    ("method", Kind::Text),
    ("path", Kind::Text),
    ("status", Kind::Number),
    ("backend", Kind::MaybeText),
    ("duration_ms", Kind::Number),
    ("request_id", Kind::Text),
];

/// The lines that hold a word, which stands in the target of one request only. Waits
/// until there are some, or until there can't be any more.
pub async fn about(running: &Running<'_>, word: &str) -> Vec<String> {
    let deadline = Instant::now() + LAG;
    loop {
        let lines: Vec<_> =
            running.lines().into_iter().filter(|line| line.contains(word)).collect();
        if !lines.is_empty() || Instant::now() > deadline {
            return lines;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The one line about a request, as JSON.
///
/// # Errors
///
/// There is none, or it is no object of JSON, or a field is not what it must be.
pub async fn of_request(
    scene: &Scene,
    running: &Running<'_>,
    request: &Request,
    word: &str,
) -> Result<Map<String, Value>, Finding> {
    let lines = about(running, word).await;
    let Some(first) = lines.first() else {
        return Err(missing(scene, running, request, "line-missing"));
    };
    let object = object(first).ok_or_else(|| {
        found(scene, "not-json", request)
            .compared("an object of JSON on one line", first)
            .with("line", &**first)
            .fail()
    })?;
    for (field, kind) in FIELDS {
        let value = object.get(field);
        let id = match (value, kind) {
            (None | Some(Value::Null), Kind::MaybeText) => continue,
            (Some(Value::String(text)), Kind::Text) if !text.is_empty() => continue,
            (Some(Value::String(_)), Kind::MaybeText) | (Some(Value::Number(_)), Kind::Number) => {
                continue;
            }
            (None, _) if object.values().any(|inner| inner.get(field).is_some()) => "fields-nested",
            (None | Some(Value::Null), _) => "field-missing",
            _ => "field-mistyped",
        };
        let wanted = match kind {
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::MaybeText => "text or null",
        };
        let actual = value.map_or_else(|| "no such field".to_owned(), Value::to_string);
        return Err(found(scene, id, request)
            .compared(wanted, actual)
            .with("field", field)
            .with("line", &**first)
            .fail());
    }
    Ok(object)
}

/// A line as an object of JSON.
pub fn object(line: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(line).ok()
}

/// That there is no line about a request; if there is none about any, so.
pub fn missing(
    scene: &Scene,
    running: &Running<'_>,
    request: &Request,
    id: &'static str,
) -> Finding {
    let lines = running.lines();
    let id = if lines.iter().any(|line| object(line).is_some()) { id } else { "nothing-logged" };
    let last = lines.last().map_or("nothing", |line| line);
    let last: String = last.chars().take(200).collect();
    found(scene, id, request)
        .compared("one line about it", "none")
        .with("last", last)
        .timed()
        .fail()
}

/// A diagnosis about the line of a request.
pub fn found(scene: &Scene, id: &'static str, request: &Request) -> Diagnosis {
    let repeat = by_hand(scene, id, request);
    Diagnosis::new(id).with("request", line(request)).repeat(repeat)
}

/// Commands that show it by hand: this request, or another where the lab backends do not do what
/// those of the check have done.
pub fn by_hand(scene: &Scene, id: &str, request: &Request) -> Vec<String> {
    const SLOW: &str = "curl -s 'http://127.0.0.1:6188/drip?duration=2&numbytes=4'";
    const TWICE: &str = "(printf 'GET /get HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n'; sleep 2; \
         printf 'GET /get HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n'; sleep 1) | nc 127.0.0.1 6188";
    let stage = scene.stage();
    let of_httpbin = |client: &str| {
        let run = format!("LAB_BACKENDS=127.0.0.1:6190 pingora-lab run {stage}");
        vec!["pingora-lab backends".to_owned(), run, client.to_owned()]
    };
    // They die, and no health check sees it.
    let dying = |ports: &str, list: &str, client: &str| {
        vec![
            "pingora-lab backends".to_owned(),
            format!("timeout 20 pingora-lab backends --ports {ports}"),
            format!("LAB_BACKENDS={list} LAB_HEALTH_INTERVAL_MS=60000 pingora-lab run {stage}"),
            format!("sleep 20; {client}"),
        ]
    };
    match id {
        "error-answer-not-logged" => of_httpbin("curl -i http://127.0.0.1:6188/status/404"),
        "abort-not-logged" => of_httpbin("curl --max-time 1 http://127.0.0.1:6188/delay/5"),
        "id-not-sent-on" => of_httpbin("curl -i 'http://127.0.0.1:6188/anything?show_env=1'"),
        "duration-without-body" => of_httpbin(SLOW),
        "duration-too-short" | "duration-in-another-unit" => {
            of_httpbin("curl -i http://127.0.0.1:6188/delay/1")
        }
        "duration-too-long" => of_httpbin(TWICE),
        "failure-not-logged" | "backend-invented" => dying(
            "6193,6194,0",
            "127.0.0.1:6193,127.0.0.1:6194",
            "curl -i http://127.0.0.1:6188/get",
        ),
        "line-for-each-try" | "backend-of-first-try" => dying(
            "6193,0,0",
            "127.0.0.1:6190,127.0.0.1:6193",
            "for i in 1 2 3 4; do curl -s -o /dev/null http://127.0.0.1:6188/get; done",
        ),
        _ => {
            let mut commands = vec!["pingora-lab backends".to_owned()];
            commands.extend(scene.by_hand(request));
            commands
        }
    }
}
