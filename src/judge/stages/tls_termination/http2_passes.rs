//! Requests that come as HTTP/2 reach the right backend as they were sent, many at a time.

use futures_util::future;

use super::setup::{Setup, Way, get};
use crate::backends::recording::{Act, Reply};
use crate::judge::client::{Hello, Request};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many at a time over one connection.
const STREAMS: usize = 12;

/// The host comes from `:authority`; method, target, fields and body pass both ways.
pub async fn http2_passes(scene: &Scene) -> Outcome {
    let (setup, names) = Setup::with_two_names(scene).await?;
    for (pool, host) in [(0, &names[0]), (1, &names[1]), (0, &names[0])] {
        let exchange = setup.exchange(Way::Http2, host, get(host, &scene.draw.path())).await?;
        reaches(&setup, &exchange, pool, host).await?;
    }
    unchanged(&setup, &names[0]).await?;
    many_at_a_time(&setup, &names[0]).await
}

async fn reaches(setup: &Setup<'_>, exchange: &Exchange, pool: usize, host: &str) -> Outcome {
    let wanted = setup.backend(pool).name();
    let reached = exchange.received.first().map(|received| received.backend.to_string());
    let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
    let elsewhere = reached.as_deref().is_some_and(|reached| reached != wanted);
    // Who has routes for hosts alone finds none, or complains of a missing host.
    let refused = reached.is_none() && (400..500).contains(&status);
    if elsewhere || refused {
        let actual = reached.unwrap_or_else(|| format!("status {status}"));
        let found = exchange.found(setup.scene, "authority-not-looked-at");
        let found = found
            .compared(wanted, &actual)
            .with("host", host)
            .with("wanted", wanted)
            .with("reached", actual);
        return Err(setup.told(found.fail(), &exchange.request));
    }
    setup.answered(exchange).await.map(|_| ())
}

async fn unchanged(setup: &Setup<'_>, host: &str) -> Outcome {
    let draw = &setup.scene.draw;
    let (field, value) = (format!("x-{}", draw.word()), draw.word());
    let (back, answer) = (format!("x-{}", draw.word()), draw.word());
    let body = draw.bytes(3000);
    let reply = Reply::new(201).header(&*back, &*answer).body(draw.bytes(5000));
    let target = format!("{}/%2F%E4?{}=%20&{}=a+b", draw.path(), draw.word(), draw.word());
    setup.backend(0).always(Act::Answer(reply.clone()));
    let request = Request::new("POST", target).header("Host", host).header(&*field, &*value);
    let request = request.body(body.clone());
    let exchange = setup.exchange(Way::Http2, host, request.clone()).await?;
    let through = exchange.through(setup.scene, &setup.running).await;
    let (received, got) = through.map_err(|finding| setup.told(finding, &request))?;
    let differs = |id, expected: &str, actual: &str| {
        let found = exchange.found(setup.scene, id).compared(expected, actual);
        Err(setup.told(found.fail(), &request))
    };
    if received.method != "POST" {
        return differs("method-changed", "POST", &received.method);
    }
    if received.target != request.target {
        let path = request.target.split('?').next().unwrap_or_default();
        let id = if received.path() == path { "query-changed" } else { "path-changed" };
        return differs(id, &request.target, &received.target);
    }
    if received.values(&field) != [value.as_str()] {
        let actual = received.values(&field).join(" | ");
        return differs("request-header-changed", &format!("{field}: {value}"), &actual);
    }
    if received.body != body {
        let (sent, came) =
            (format!("{} bytes", body.len()), format!("{} bytes", received.body.len()));
        return differs("request-body-changed", &sent, &came);
    }
    if got.status != 201 {
        return differs("status-changed", "201", &got.status.to_string());
    }
    if got.values(&back) != [answer.as_str()] {
        let actual = got.values(&back).join(" | ");
        return differs("answer-header-changed", &format!("{back}: {answer}"), &actual);
    }
    if got.body != reply.body {
        let (sent, came) =
            (format!("{} bytes", reply.body.len()), format!("{} bytes", got.body.len()));
        return differs("answer-body-changed", &sent, &came);
    }
    Ok(())
}

/// Each answer belongs to its request.
async fn many_at_a_time(setup: &Setup<'_>, host: &str) -> Outcome {
    let backend = setup.backend(0);
    backend.set_to(|received| Act::Answer(Reply::ok(received.target.clone())));
    let http2 = setup.http2(&Hello::to(host).offering(&["h2"])).await?;
    let requests: Vec<_> = (0..STREAMS).map(|_| get(host, &setup.scene.draw.path())).collect();
    let answers = future::join_all(requests.iter().map(|request| http2.send(request))).await;
    for (request, answer) in requests.into_iter().zip(answers) {
        let received = setup.scene.recorder.read(|log| {
            log.requests().filter(|one| one.target == request.target).cloned().collect()
        });
        let expected = request.target.clone();
        let exchange = Exchange { request, received, answer };
        let answer = setup.answered(&exchange).await?;
        if answer.body != expected {
            let found = exchange.found(setup.scene, "answer-body-changed");
            let found = found.compared(&expected, answer.text());
            return Err(setup.told(found.fail(), &exchange.request));
        }
    }
    Ok(())
}
