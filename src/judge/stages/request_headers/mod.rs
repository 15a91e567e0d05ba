//! 04 request-headers: what the proxy tells the backend about a request, and what
//! it must leave alone.

mod forwarded_for;
mod host;
mod untouched;

use futures_util::FutureExt;

use super::named_proxy::NamedProxy;
use super::starts::STARTS;
use crate::backends::recording::{Received, Reply};
use crate::judge::client::{Answer, Request};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::{Exchange, drawn_reply};
use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "04-request-headers",
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "adds-headers",
            diagnoses: &[
                "header-missing",
                "header-misspelt",
                "header-on-the-answer",
                "header-twice",
                "claim-beside",
                "claim-passes",
                "name-not-from-environment",
                "header-wrong-value",
            ],
            run: |scene| adds_headers(scene).boxed(),
        },
        Check {
            id: "host",
            diagnoses: &[
                "host-missing",
                "host-of-the-client",
                "host-without-port",
                "host-always-the-same",
                "host-of-another-backend",
                "host-mixed-up",
                "host-wrong",
                "backend-left-out",
            ],
            run: |scene| host::host(scene).boxed(),
        },
        Check {
            id: "forwarded-for",
            diagnoses: &[
                "forwarded-for-missing",
                "forwarded-for-misspelt",
                "forwarded-for-on-the-answer",
                "forwarded-for-twice",
                "forwarded-for-with-port",
                "forwarded-for-of-another",
                "forwarded-for-mixed-up",
                "spoof-passes",
                "spoof-in-list",
            ],
            run: |scene| forwarded_for::forwarded_for(scene).boxed(),
        },
        Check {
            id: "client-headers-untouched",
            diagnoses: &[
                "client-header-lost",
                "client-header-joined",
                "client-header-reordered",
                "client-header-doubled",
                "client-header-changed",
            ],
            run: |scene| untouched::untouched(scene).boxed(),
        },
        Check {
            id: "nothing-leaks",
            diagnoses: &["leaks-to-client", "backend-address-leaks"],
            run: |scene| nothing_leaks(scene).boxed(),
        },
    ],
};

/// The fields that carry the proxy's name.
const SIGNED: [&str; 2] = ["x-proxy-added", "x-forwarded-by"];

/// What `LAB_PROXY_NAME` is where nobody sets it.
const DEFAULT_NAME: &str = "pingora-lab";

/// Both fields, each once, whatever the client sent under their names.
async fn adds_headers(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let get = || proxy.running.request("GET", draw.path());
    let mut claiming = vec![
        get().header("x-proxy-added", draw.word()),
        get().header("X-Forwarded-By", draw.word()).header("X-FORWARDED-BY", draw.word()),
        get().header("X-Proxy-Added", "").header("x-forwarded-by", draw.word()),
        proxy
            .running
            .request("POST", draw.path())
            .header("X-PROXY-ADDED", draw.word())
            .header("X-proxy-Added", draw.word())
            .body(draw.bytes(50)),
    ];
    draw.shuffle(&mut claiming);
    // Without a claim first: whoever has not written it yet should hear of that.
    let mut requests = vec![get(), proxy.running.request("POST", draw.path()).body("text")];
    requests.append(&mut claiming);
    for request in requests {
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        let (received, answer) = exchange.through(scene, &proxy.running).await?;
        for field in SIGNED {
            signed(&proxy, &exchange, received, answer, field)?;
        }
    }
    Ok(())
}

fn signed(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    received: &Received,
    answer: &Answer,
    field: &str,
) -> Outcome {
    let found = |id: &'static str, actual: String| {
        let found = exchange
            .found(proxy.scene, id)
            .compared(format!("{field}: {}", proxy.name), actual)
            .with("field", field)
            .with("name", &*proxy.name)
            .repeat(proxy.by_hand(&exchange.request));
        Err::<(), Finding>(found.fail())
    };
    let claims = claims(&exchange.request, field);
    let values = received.values(field);
    let all =
        values.iter().map(|value| format!("{field}: {value}")).collect::<Vec<_>>().join(" | ");
    match values.as_slice() {
        [value] if *value == proxy.name => Ok(()),
        [] if answer.values(field).contains(&&*proxy.name) => {
            found("header-on-the-answer", format!("no {field} at the backend, but in the answer"))
        }
        [] => match stray(&exchange.request, received, |value| value == proxy.name) {
            Some((name, value)) => found("header-misspelt", format!("{name}: {value}")),
            None => found("header-missing", format!("no {field}")),
        },
        values if values.iter().all(|value| claims.contains(&(*value).to_owned())) => {
            found("claim-passes", all)
        }
        [value] if *value == DEFAULT_NAME => found("name-not-from-environment", all),
        [value] if beside(value, &claims, &proxy.name) => found("claim-beside", all),
        [_] => found("header-wrong-value", all),
        values if values.iter().any(|value| claims.contains(&(*value).to_owned())) => {
            found("claim-beside", all)
        }
        _ => found("header-twice", all),
    }
}

/// What a client says under the name of a field that is the proxy's.
fn claims(request: &Request, field: &str) -> Vec<String> {
    let named = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field));
    named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

/// Whether a list has both the right value and something of a claim.
fn beside(list: &str, claims: &[String], right: &str) -> bool {
    let elements: Vec<_> = list.split(',').map(str::trim).collect();
    elements.contains(&right) && elements.len() > 1 && !claims.is_empty()
}

/// A field that the client did not send and whose value would be right, had it
/// another name. The longest such name: most of it is likely the right one.
fn stray(
    request: &Request,
    received: &Received,
    right: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    const KNOWN: [&str; 4] = ["x-proxy-added", "x-forwarded-by", "x-forwarded-for", "host"];
    let strays = received.headers.iter().filter(|(name, value)| {
        let known = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name));
        !known && claims(request, name).is_empty() && right(value)
    });
    strays.max_by_key(|(name, _)| name.len()).cloned()
}

/// None of what the backend is told is in the client's answer.
async fn nothing_leaks(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let mut cases: Vec<(&str, Reply)> = vec![
        ("GET", drawn_reply(scene, 200)),
        ("POST", drawn_reply(scene, 201)),
        ("GET", drawn_reply(scene, *draw.pick(&[404, 500]))),
        ("GET", drawn_reply(scene, 304).header("ETag", format!("\"{}\"", draw.word()))),
        ("HEAD", Reply::new(200).body(draw.bytes(30))),
    ];
    draw.shuffle(&mut cases[1..]);
    for (method, reply) in cases {
        proxy.answer_with(&reply);
        let request = proxy.running.request(method, draw.path());
        let request = if method == "POST" { request.body(draw.bytes(20)) } else { request };
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        let (_, answer) = exchange.through(scene, &proxy.running).await?;
        leaks(&proxy, &exchange, answer)?;
    }
    Ok(())
}

fn leaks(proxy: &NamedProxy<'_>, exchange: &Exchange, answer: &Answer) -> Outcome {
    const INNER: [&str; 3] = ["x-proxy-added", "x-forwarded-by", "x-forwarded-for"];
    let found = |id: &'static str, expected: &str, name: &str, value: &str| {
        let found = exchange
            .found(proxy.scene, id)
            .compared(expected, format!("{name}: {value}"))
            .with("field", name)
            .repeat(proxy.by_hand(&exchange.request));
        Err(found.fail())
    };
    for (name, value) in &answer.headers {
        if INNER.iter().any(|inner| inner.eq_ignore_ascii_case(name)) {
            return found("leaks-to-client", &format!("no {name} in the answer"), name, value);
        }
        let inside = proxy.backends.iter().map(|backend| backend.address().to_string());
        if inside.into_iter().any(|address| value.contains(&address)) {
            let expected = "an answer without a backend's address";
            return found("backend-address-leaks", expected, name, value);
        }
    }
    Ok(())
}
