//! The duration in a line is that of its request: all of it, and nothing else.

use std::time::{Duration, Instant};

use super::lines::{found, of_request};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::Request;
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::named_proxy::NamedProxy;

/// How much shorter than the backend's own time it may seem: clocks are read at
/// different moments.
const SHORTER: f64 = 10.0;

/// How much longer than the time until its line was there, behind which nobody measures.
const LONGER: f64 = 50.0;

/// Answers that come late, and answers that end late; two on one connection, with a
/// pause between.
pub async fn plausible_time(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 1).await?;
    let draw = &scene.draw;
    let late = Duration::from_millis(draw.number(150..300));
    scene.plan(format!("answers after {} ms", late.as_millis()));
    proxy.backends[0].always(Act::Answer(Reply::ok("late")).after(late));
    let (request, word) = drawn(&proxy);
    let begun = Instant::now();
    if let Err(trouble) = proxy.running.client().send(&request).await {
        return Err(proxy.running.trouble(&trouble, &request).await);
    }
    took(&proxy, &request, &word, late, begun, "duration-too-short").await?;

    // The head at once, then the body.
    let pieces = u32::try_from(draw.number(6..10)).unwrap_or(6);
    let every = Duration::from_millis(40);
    scene.plan(format!("{pieces} pieces"));
    let body = vec![b'x'; 500 * usize::try_from(pieces).unwrap_or(6)];
    let reply = Reply::ok(body).framing(Framing::Chunked(100));
    proxy.backends[0].always(Act::Drip { reply, chunk: 500, every });
    let (request, word) = drawn(&proxy);
    let begun = Instant::now();
    if let Err(trouble) = proxy.running.client().send(&request).await {
        return Err(proxy.running.trouble(&trouble, &request).await);
    }
    let least = every * (pieces - 1);
    took(&proxy, &request, &word, least, begun, "duration-without-body").await?;

    // A client that thinks between its requests.
    proxy.answer_with(&Reply::ok("at once"));
    let mut connection = match proxy.running.client().connect().await {
        Ok(connection) => connection,
        Err(trouble) => return Err(proxy.running.trouble(&trouble, &request).await),
    };
    for pause in [Duration::ZERO, late] {
        tokio::time::sleep(pause).await;
        let (request, word) = drawn(&proxy);
        let begun = Instant::now();
        match connection.send(&request).await {
            // Whoever closes it after each answer has nothing to add up.
            Ok(answer) if !answer.reusable => break,
            Ok(_) => {}
            Err(trouble) => return Err(proxy.running.trouble(&trouble, &request).await),
        }
        took(&proxy, &request, &word, Duration::ZERO, begun, "duration-too-short").await?;
    }
    Ok(())
}

fn drawn(proxy: &NamedProxy<'_>) -> (Request, String) {
    let draw = &proxy.scene.draw;
    let word = format!("{}{}", draw.word(), draw.number(100_000..1_000_000));
    proxy.scene.plan(format!("GET /anything/{word}"));
    (proxy.running.request("GET", format!("/anything/{word}")), word)
}

/// The line's duration is at least that of the backend, and at most the time until the line was
/// there.
async fn took(
    proxy: &NamedProxy<'_>,
    request: &Request,
    word: &str,
    least: Duration,
    begun: Instant,
    too_short: &'static str,
) -> Outcome {
    let told = told(proxy, request, word).await?;
    let most = begun.elapsed();
    let fits = |told: f64| (ms(least) - SHORTER..=ms(most) + LONGER).contains(&told);
    if fits(told) {
        return Ok(());
    }
    let unit = [1e3, 1e-3, 1e-6].into_iter().find(|by| fits(told * by));
    let id = match (unit, told < ms(least)) {
        (Some(by), _) if least > Duration::ZERO && is_unit(proxy, by).await? => {
            "duration-in-another-unit"
        }
        (_, true) => too_short,
        (_, false) => "duration-too-long",
    };
    Err(found(proxy.scene, id, request)
        .compared(format!("{:.0} to {:.0}", ms(least), ms(most)), told)
        .with("least", format!("{:.0}", ms(least)))
        .with("most", format!("{:.0}", ms(most)))
        .with("told", format!("{told}"))
        .timed()
        .fail())
}

/// Whether lines have their times in this unit, in milliseconds, or one was so by chance: an
/// answer that comes at once takes next to no time then, too.
async fn is_unit(proxy: &NamedProxy<'_>, by: f64) -> Result<bool, Finding> {
    proxy.answer_with(&Reply::ok("at once"));
    // Nothing is drawn for what chance alone has brought about.
    let word = format!("at-once-{}", proxy.scene.recorder.read(|log| log.entries().len()));
    let request = proxy.running.request("GET", format!("/anything/{word}"));
    let begun = Instant::now();
    if let Err(trouble) = proxy.running.client().send(&request).await {
        return Err(proxy.running.trouble(&trouble, &request).await);
    }
    let whole = begun.elapsed();
    Ok(told(proxy, &request, &word).await? * by <= ms(whole) + SHORTER)
}

/// The duration in a request's line.
async fn told(proxy: &NamedProxy<'_>, request: &Request, word: &str) -> Result<f64, Finding> {
    let line = of_request(proxy.scene, &proxy.running, request, word).await?;
    Ok(line.get("duration_ms").and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
