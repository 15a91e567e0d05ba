//! What a line says is what happened.

use serde_json::{Map, Value};

use super::lines::{by_hand, found, of_request};
use crate::backends::recording::Reply;
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::named_proxy::NamedProxy;
use crate::judge::stages::own::refuse;

/// The field by which a request's id goes to the backend.
const ID_FIELD: &str = "x-request-id";

/// A line, and the exchange that it is about.
struct Logged {
    exchange: Exchange,
    line: Map<String, Value>,
}

/// Several requests of several kinds, then some that are tried twice, then one that
/// nobody can serve.
pub async fn fields(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let mut ids: Vec<Value> = Vec::new();
    for (method, status) in
        [("GET", 200), ("POST", 201), ("DELETE", 204), ("GET", 404), ("PUT", 500), ("GET", 302)]
    {
        proxy.answer_with(&Reply::new(status));
        let logged = logged(&proxy, method, false).await?;
        says_what_happened(&proxy, &logged)?;
        id(&proxy, &logged, &mut ids)?;
    }

    // The client names an id; it may be anybody's.
    proxy.answer_with(&Reply::ok(draw.word()));
    for _ in 0..2 {
        let logged = logged(&proxy, "GET", true).await?;
        id(&proxy, &logged, &mut ids)?;
    }

    scene.plan("one backend refuses, then both");
    refuse(scene, &proxy.backends[0])?;
    for method in ["GET", "POST", "GET", "POST"] {
        let logged = logged(&proxy, method, false).await?;
        says_what_happened(&proxy, &logged).map_err(|finding| {
            finding.map(|found| {
                let backend = found.evidence.get("field").is_some_and(|field| field == "backend");
                if !backend {
                    return found;
                }
                let id = "backend-of-first-try";
                let repeat = by_hand(scene, id, &logged.exchange.request);
                found.renamed(id).repeat(repeat)
            })
        })?;
        id(&proxy, &logged, &mut ids)?;
    }
    refuse(scene, &proxy.backends[1])?;
    let logged = logged(&proxy, "GET", false).await?;
    says_what_happened(&proxy, &logged)?;
    id(&proxy, &logged, &mut ids)
}

async fn logged(proxy: &NamedProxy<'_>, method: &str, with_id: bool) -> Result<Logged, Finding> {
    let (scene, draw) = (proxy.scene, &proxy.scene.draw);
    let word = format!("{}{}", draw.word(), draw.number(100_000..1_000_000));
    let target = format!("/anything/{word}/{}?{}={}", draw.word(), draw.word(), draw.word());
    let request = proxy.running.request(method, target);
    let request = if with_id { request.header("X-Request-Id", draw.word()) } else { request };
    let body = matches!(method, "POST" | "PUT");
    let request = if body { request.body(draw.bytes(20)) } else { request };
    let exchange = proxy.exchange(proxy.running.client(), request).await;
    if let Err(trouble) = &exchange.answer {
        return Err(proxy.running.trouble(trouble, &exchange.request).await);
    }
    let line = of_request(scene, &proxy.running, &exchange.request, &word).await?;
    Ok(Logged { exchange, line })
}

/// Method, path, status and backend.
fn says_what_happened(proxy: &NamedProxy<'_>, logged: &Logged) -> Outcome {
    let Logged { exchange, line } = logged;
    let request = &exchange.request;
    let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
    // Which backend answered: where one refuses there is no other receipt.
    let received = exchange.received.first();
    let backend = received.and_then(|one| proxy.address_of(&one.backend));
    let backend = backend.map_or(Value::Null, |address| Value::from(address.to_string()));
    let expected = [
        ("method", Value::from(&*request.method)),
        ("path", Value::from(&*request.target)),
        ("status", Value::from(status)),
        ("backend", backend),
    ];
    for (field, expected) in expected {
        let actual = line.get(field).cloned().unwrap_or(Value::Null);
        if same(&expected, &actual) {
            continue;
        }
        let path = request.target.split('?').next();
        let id = match field {
            "path" if actual.as_str() == path => "query-not-logged",
            "backend" if expected.is_null() => "backend-invented",
            _ => "field-wrong",
        };
        return Err(about(proxy, logged, id, field, &expected, &actual));
    }
    Ok(())
}

/// 200 and 200.0 are the same number, and what is empty is nothing.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected.as_f64(), actual.as_f64()) {
        (Some(expected), Some(actual)) => (expected - actual).abs() < f64::EPSILON,
        _ => expected == actual || (expected.is_null() && actual == ""),
    }
}

/// The id is the request's own, and the backend was told it.
fn id(proxy: &NamedProxy<'_>, logged: &Logged, ids: &mut Vec<Value>) -> Outcome {
    let id = logged.line.get("request_id").cloned().unwrap_or_default();
    let claimed = claimed(&logged.exchange.request);
    if claimed.as_ref().is_some_and(|claimed| *claimed == id) {
        let expected = Value::from("an id of the proxy's own");
        return Err(about(proxy, logged, "id-of-the-client", "request_id", &expected, &id));
    }
    if ids.contains(&id) {
        let expected = Value::from("an id that no other line has");
        return Err(about(proxy, logged, "id-repeated", "request_id", &expected, &id));
    }
    if let Some(received) = logged.exchange.received.first() {
        let told = received.values(ID_FIELD).join(" | ");
        if id != told {
            let told = Value::from(told);
            return Err(about(proxy, logged, "id-not-sent-on", ID_FIELD, &id, &told));
        }
    }
    ids.push(id);
    Ok(())
}

fn claimed(request: &Request) -> Option<Value> {
    let mut named = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(ID_FIELD));
    named.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned().into())
}

fn about(
    proxy: &NamedProxy<'_>,
    logged: &Logged,
    id: &'static str,
    field: &str,
    expected: &Value,
    actual: &Value,
) -> Finding {
    found(proxy.scene, id, &logged.exchange.request)
        .compared(expected, actual)
        .with("field", field)
        .with("line", Value::Object(logged.line.clone()).to_string())
        .fail()
}
