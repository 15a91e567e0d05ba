//! 05 response-headers: what the proxy does to answers, its own included, and what
//! it must leave alone.

mod errors;
mod fields;

use futures_util::FutureExt;

use super::named_proxy::NamedProxy;
use super::starts::STARTS;
use crate::backends::recording::{Framing, Reply};
use crate::judge::client::Answer;
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::{Case, Exchange, drawn_reply};
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "05-response-headers",
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "adds-headers",
            diagnoses: &[
                "header-missing",
                "header-misspelt",
                "header-on-the-request",
                "header-not-on-every-answer",
                "header-twice",
                "backend-value-beside",
                "backend-value-passes",
                "name-not-from-environment",
                "header-wrong-value",
            ],
            run: |scene| adds_headers(scene).boxed(),
        },
        Check {
            id: "server-removed",
            diagnoses: &[
                "server-stays",
                "server-replaced",
                "wrong-header-removed",
                "other-header-lost",
                "other-header-changed",
            ],
            run: |scene| fields::server_removed(scene).boxed(),
        },
        Check {
            id: "cookies-stay-two",
            diagnoses: &["cookies-joined", "cookie-lost", "cookies-reordered", "cookie-changed"],
            run: |scene| fields::cookies_stay_two(scene).boxed(),
        },
        Check {
            id: "body-intact",
            diagnoses: &["length-lost", "length-changed"],
            run: |scene| body_intact(scene).boxed(),
        },
        Check {
            id: "errors-carry-them",
            diagnoses: &[
                "error-status-wrong",
                "error-page-bare",
                "error-page-names-server",
                "error-page-headers-wrong",
                "error-page-empty",
                "error-page-length",
                "error-page-inside-answer",
            ],
            run: |scene| errors::errors_carry_them(scene).boxed(),
        },
    ],
};

/// What `LAB_PROXY_NAME` is where nobody sets it.
const DEFAULT_NAME: &str = "pingora-lab";

/// The fields of every answer, with their values.
fn marks<'a>(proxy: &'a NamedProxy<'_>) -> [(&'static str, &'a str); 2] {
    [("x-proxy", &proxy.name), ("x-load-balancer", "round-robin")]
}

/// Both fields, each once, whatever the backend says under their names.
async fn adds_headers(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    // Only a 200 has fields of these names itself: whether these pass, and whether
    // other answers are marked, are told apart in whichever order they come.
    let mut cases = vec![
        ("GET", drawn_reply(scene, 200).header("x-proxy", draw.word())),
        (
            "GET",
            drawn_reply(scene, 200)
                .header("X-Load-Balancer", draw.word())
                .header("X-LOAD-BALANCER", draw.word())
                .header("X-Proxy", ""),
        ),
        ("GET", drawn_reply(scene, *draw.pick(&[400, 404, 410]))),
        ("POST", drawn_reply(scene, 200).header("X-PROXY", draw.word())),
        ("POST", drawn_reply(scene, 201)),
        ("GET", drawn_reply(scene, *draw.pick(&[500, 502, 503]))),
        ("GET", drawn_reply(scene, 302).header("Location", draw.path())),
        ("GET", drawn_reply(scene, 304)),
        ("DELETE", drawn_reply(scene, 204)),
        ("HEAD", Reply::new(200).body(draw.bytes(20))),
    ];
    draw.shuffle(&mut cases);
    // The simplest first: whoever has not written it yet should hear of that.
    cases.insert(0, ("GET", drawn_reply(scene, 200)));
    for (nth, (method, reply)) in cases.iter().enumerate() {
        let exchange = answered(&proxy, method, reply).await;
        let (_, answer) = exchange.through(scene, &proxy.running).await?;
        for mark in marks(&proxy) {
            marked(&proxy, &exchange, reply, answer, mark).map_err(|finding| {
                finding.map(|found| match found.id {
                    "header-missing" if nth > 0 => found.renamed("header-not-on-every-answer"),
                    _ => found,
                })
            })?;
        }
    }
    Ok(())
}

/// A request that every backend answers with this.
async fn answered(proxy: &NamedProxy<'_>, method: &str, reply: &Reply) -> Exchange {
    let draw = &proxy.scene.draw;
    proxy.answer_with(reply);
    let request = proxy.running.request(method, draw.path());
    let request = if method == "POST" { request.body(draw.bytes(20)) } else { request };
    let fields = reply.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
    let fields = fields.collect::<Vec<_>>().join("; ");
    proxy.scene.plan(format!("answered {} [{fields}]", reply.status));
    proxy.exchange(proxy.running.client(), request).await
}

fn marked(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    reply: &Reply,
    answer: &Answer,
    (field, right): (&str, &str),
) -> Outcome {
    let found = |id: &'static str, actual: String| {
        let found = exchange
            .found(proxy.scene, id)
            .compared(format!("{field}: {right}"), actual)
            .with("field", field)
            .with("value", right)
            .with("status", answer.status)
            .repeat(proxy.by_hand(&exchange.request));
        Err::<(), Finding>(found.fail())
    };
    let at_backend = exchange.received.first().map(|got| got.values(field)).unwrap_or_default();
    if let Some(value) = at_backend.first() {
        return found("header-on-the-request", format!("the backend got {field}: {value}"));
    }
    let own = values_of(reply, field);
    let values = answer.values(field);
    let all =
        values.iter().map(|value| format!("{field}: {value}")).collect::<Vec<_>>().join(" | ");
    let of_backend = |value: &&&str| own.iter().any(|own| own == **value);
    match values.as_slice() {
        [value] if *value == right => Ok(()),
        [] => match stray(reply, answer, right) {
            Some((name, value)) => found("header-misspelt", format!("{name}: {value}")),
            None => found("header-missing", format!("no {field}")),
        },
        values if values.iter().all(|value| of_backend(&value)) => {
            found("backend-value-passes", all)
        }
        [value] if field == "x-proxy" && *value == DEFAULT_NAME => {
            found("name-not-from-environment", all)
        }
        [value] if !own.is_empty() && value.split(',').any(|one| one.trim() == right) => {
            found("backend-value-beside", all)
        }
        [_] => found("header-wrong-value", all),
        values if values.iter().any(|value| of_backend(&value)) => {
            found("backend-value-beside", all)
        }
        _ => found("header-twice", all),
    }
}

/// The values that a backend's answer has under a name.
fn values_of(reply: &Reply, field: &str) -> Vec<String> {
    let named = reply.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field));
    named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

/// A field that the backend did not send and whose value would be right, had it
/// another name.
fn stray(reply: &Reply, answer: &Answer, right: &str) -> Option<(String, String)> {
    let mut strays = answer.headers.iter().filter(|(name, value)| {
        let known = ["x-proxy", "x-load-balancer"].iter().any(|it| it.eq_ignore_ascii_case(name));
        !known && value == right && values_of(reply, name).is_empty()
    });
    strays.next().cloned()
}

/// Status, length and body, for every way in which a body's end is told.
async fn body_intact(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 1).await?;
    let draw = &scene.draw;
    let size = |range| usize::try_from(draw.number(range)).unwrap_or(1);
    let get = |reply| Case::new("GET", draw.path(), reply);
    let mut cases = vec![
        get(Reply::ok(draw.bytes(1))),
        get(Reply::ok("")),
        get(Reply::ok(draw.bytes(size(60_000..90_000)))),
        get(Reply::ok(draw.bytes(size(2_000..9_000))).framing(Framing::Chunked(size(50..900)))),
        get(Reply::ok("").framing(Framing::Chunked(10))),
        get(Reply::ok(draw.bytes(size(100..900))).framing(Framing::UntilClose)),
        get(drawn_reply(scene, 304).header("ETag", format!("\"{}\"", draw.word()))),
        get(drawn_reply(scene, *draw.pick(&[400, 404, 418]))),
        get(drawn_reply(scene, *draw.pick(&[500, 502, 503]))),
        get(drawn_reply(scene, 206).header("Content-Range", "bytes 0-9/*")),
        Case::new("HEAD", draw.path(), Reply::ok(draw.bytes(size(100..900)))),
        Case::new("DELETE", draw.path(), drawn_reply(scene, 204)),
        Case::new("POST", draw.path(), drawn_reply(scene, 201)).body(draw.bytes(50)),
    ];
    draw.shuffle(&mut cases);
    cases.insert(0, get(Reply::ok(draw.bytes(size(100..900)))));
    for case in &cases {
        let exchange = case.holds(scene, &proxy.running, &proxy.backends[0]).await?;
        if let Ok(answer) = &exchange.answer {
            length(&proxy, case, &exchange, answer)?;
        }
    }
    Ok(())
}

/// A length that the backend told is told to the client too.
fn length(proxy: &NamedProxy<'_>, case: &Case, exchange: &Exchange, answer: &Answer) -> Outcome {
    let told = case.reply.framing == Framing::ContentLength;
    if !told || matches!(case.reply.status, 204 | 304) {
        return Ok(());
    }
    let right = case.reply.body.len().to_string();
    let values = answer.values("content-length");
    let (id, actual) = match values.as_slice() {
        [value] if *value == right => return Ok(()),
        [] => ("length-lost", "no content-length".to_owned()),
        values => ("length-changed", format!("content-length: {}", values.join(" | "))),
    };
    let found = exchange
        .found(proxy.scene, id)
        .compared(format!("content-length: {right}"), actual)
        .with("status", answer.status)
        .repeat(proxy.by_hand(&exchange.request));
    Err(found.fail())
}
