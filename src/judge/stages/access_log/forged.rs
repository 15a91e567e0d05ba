//! Whatever a client writes into its request, it is one line, and says what was sent.

use super::lines::{about, found, missing, object};
use crate::backends::recording::Reply;
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::named_proxy::NamedProxy;

/// Targets made to end a text, a line or an object early.
pub async fn no_forged_lines(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 1).await?;
    proxy.answer_with(&Reply::ok("well"));
    let draw = &scene.draw;
    let forged = draw.word();
    let line = format!("{{\"method\":\"GET\",\"path\":\"/{forged}\",\"status\":200}}");
    // Line breaks first: who is caught by one would be by a quote as well.
    let tails = [
        format!("%0A{line}%0A").replace('"', "%22"),
        format!("%0d%0a{line}%0d%0a"),
        "\"".to_owned(),
        "\\".to_owned(),
        "\\\"".to_owned(),
        "%22,%22status%22:200".to_owned(),
        "\",\"status\":299,\"x\":\"".to_owned(),
        "%00%1b[31m%7f".to_owned(),
        "{}[]%5C%5Cn\\n\\u000a".to_owned(),
        "%E2%80%A8%C2%85'<>&".to_owned(),
    ];
    for tail in tails {
        let word = format!("{}{}", draw.word(), draw.number(100_000..1_000_000));
        let request = proxy.running.request("GET", format!("/anything/{word}/{tail}"));
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        match &exchange.answer {
            // Who refuses such a target has nothing to forge; it need not be logged.
            Ok(answer) if answer.status == 400 && exchange.received.is_empty() => continue,
            Ok(_) => {}
            Err(trouble) => return Err(proxy.running.trouble(trouble, &exchange.request).await),
        }
        is_one_line(scene, &proxy.running, &exchange.request, &word, &forged).await?;
    }
    Ok(())
}

async fn is_one_line(
    scene: &Scene,
    running: &Running<'_>,
    request: &Request,
    word: &str,
    forged: &str,
) -> Result<(), Finding> {
    let lines = about(running, word).await;
    let Some(first) = lines.first() else {
        return Err(missing(scene, running, request, "line-broken"));
    };
    let differs = |id, expected: &str, actual: &str| {
        let found = found(scene, id, request).compared(expected, actual);
        Err(found.with("line", &**first).fail())
    };
    // A line that begins otherwise is the end of another.
    let own = format!("/{forged}");
    let all = running.lines();
    let stray = all.iter().find(|line| {
        object(line).is_some_and(|line| line.get("path").is_some_and(|path| *path == own))
    });
    if let Some(stray) = stray {
        return differs("line-forged", "no line that the client has written", stray);
    }
    let Some(object) = object(first) else {
        return differs("line-broken", "an object of JSON on one line", first);
    };
    let status = object.get("status").and_then(serde_json::Value::as_f64);
    if status != Some(200.0) || lines.len() > 1 {
        return differs("line-forged", "one line, status 200", first);
    }
    match object.get("path").and_then(serde_json::Value::as_str) {
        Some(path) if path == request.target => Ok(()),
        path => differs("path-altered", &request.target, path.unwrap_or("none")),
    }
}
