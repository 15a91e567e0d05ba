//! Who comes without TLS to a listener that says so is sent to the same place over TLS.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::setup::{HTTPS, PLAIN, Setup, TO_USUAL, Way, curl, get};
use crate::backends::recording::Log;
use crate::judge::client::{Answer, Client, Request};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How long is waited for a request that was answered and goes on all the same.
const AFTERWARDS: Duration = Duration::from_millis(150);

/// The listener that leads to that for TLS, by hand.
const TO_OURS: u16 = 6188;

/// What a location says.
struct Location<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
    target: &'a str,
}

/// Everything about a request is kept; and a listener that does not say it sends nobody away.
pub async fn redirects(scene: &Scene) -> Outcome {
    let (setup, [name, second]) = Setup::with_two_names(scene).await?;
    let draw = &scene.draw;
    let plain = setup.exchange(Way::Plain, &name, get(&name, &draw.path())).await?;
    if let (Ok(answer), []) = (&plain.answer, plain.received.as_slice())
        && (300..400).contains(&answer.status)
    {
        return Err(found(&setup, &plain, PLAIN, "redirects-unasked", answer)
            .compared("the answer of a backend", answer.status)
            .fail());
    }
    setup.answered(&plain).await?;
    let stranger = format!("{}.test", draw.word());
    let tricky = format!(
        "{}/%2F%e4/./x//?{}=%20&{}=a+b&{}=?/",
        draw.path(),
        draw.word(),
        draw.word(),
        draw.word()
    );
    let tls = setup.running.listen.port();
    let mut cases = [
        (setup.away, tls, Request::new("GET", draw.path()).header("Host", &name), &name),
        (setup.away, tls, Request::new("GET", tricky).header("Host", &second), &second),
        (
            setup.away,
            tls,
            Request::new("POST", format!("{}?{}", draw.path(), draw.word()))
                .header("Host", format!("{name}:{}", setup.away.port()))
                .body(draw.bytes(20)),
            &name,
        ),
        (
            setup.away_to_usual,
            HTTPS,
            Request::new("GET", format!("/?{}={}", draw.word(), draw.word()))
                .header("Host", format!("{name}:{}", setup.away_to_usual.port())),
            &name,
        ),
        (
            setup.away_to_usual,
            HTTPS,
            Request::new("HEAD", draw.path()).header("Host", &stranger),
            &stranger,
        ),
        (setup.away_to_usual, HTTPS, Request::new("GET", "/").header("Host", &second), &second),
    ];
    // The simplest first.
    draw.shuffle(&mut cases[1..]);
    for (address, port, request, host) in &cases {
        sent_on(&setup, *address, *port, request.clone(), host).await?;
    }
    nothing_forwarded(&setup, &cases.map(|(_, _, request, _)| request)).await
}

/// A request may reach a backend a moment after its answer has reached the client.
async fn nothing_forwarded(setup: &Setup<'_>, requests: &[Request]) -> Outcome {
    let of = |target: &str| requests.iter().find(|request| request.target == target);
    let seen = |log: &Log| {
        log.requests().find_map(|one| Some((of(&one.target)?.clone(), one.backend.to_string())))
    };
    let seen = setup.scene.recorder.wait_for(Instant::now() + AFTERWARDS, seen).await;
    let Some((request, backend)) = seen else { return Ok(()) };
    Err(Diagnosis::new("redirected-and-forwarded")
        .compared("no backend asked", backend)
        .with("request", format!("{} {}", request.method, request.target))
        .with("status", 308)
        .repeat(by_hand(setup, TO_OURS, &request))
        .fail())
}

async fn sent_on(
    setup: &Setup<'_>,
    address: SocketAddr,
    port: u16,
    request: Request,
    host: &str,
) -> Outcome {
    let exchange = Exchange::of(setup.scene, Client::new(address), request).await;
    let listener = if port == HTTPS { TO_USUAL } else { TO_OURS };
    let answer = match &exchange.answer {
        Ok(answer) => answer,
        Err(trouble) => {
            let finding = setup.running.trouble(trouble, &exchange.request).await;
            let commands = by_hand(setup, listener, &exchange.request);
            return Err(finding.map(|found| found.repeat(commands)));
        }
    };
    let target = &exchange.request.target;
    let expected = match port {
        HTTPS => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    let locations = answer.values("location");
    let fail = |id: &'static str, expected: &str, actual: String| -> Result<(), Finding> {
        let location = locations.join(" | ");
        let found = found(setup, &exchange, listener, id, answer);
        Err(found.compared(expected, actual).with("location", location).fail())
    };
    let redirects = (300..400).contains(&answer.status);
    if !redirects {
        return fail("not-redirected", "308", answer.status.to_string());
    }
    if let Some(received) = exchange.received.first() {
        return fail("redirected-and-forwarded", "no backend asked", received.backend.to_string());
    }
    if answer.status != 308 {
        return fail("redirect-status", "308", answer.status.to_string());
    }
    let [location] = locations.as_slice() else {
        return fail("location-missing", &expected, format!("{} fields", locations.len()));
    };
    let Some(there) = Location::read(location) else {
        return fail("location-not-https", &expected, (*location).to_owned());
    };
    let (path, query) =
        target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let query = query.unwrap_or_default();
    let (its_path, its_query) = there.target.split_once('?').unwrap_or((there.target, ""));
    let id = if there.scheme != "https" {
        "location-not-https"
    } else if !there.host.eq_ignore_ascii_case(host) {
        "location-other-host"
    } else if there.port != port {
        "location-other-port"
    } else if there.target == target {
        return Ok(());
    } else if its_path == path && its_query.is_empty() && !query.is_empty() {
        "location-query-lost"
    } else if matches!(its_path, "" | "/") {
        "location-path-lost"
    } else {
        "location-target-changed"
    };
    fail(id, &expected, (*location).to_owned())
}

fn found(
    setup: &Setup<'_>,
    exchange: &Exchange,
    listener: u16,
    id: &'static str,
    answer: &Answer,
) -> Diagnosis {
    let commands = by_hand(setup, listener, &exchange.request);
    exchange.found(setup.scene, id).with("status", answer.status).repeat(commands)
}

fn by_hand(setup: &Setup<'_>, listener: u16, request: &Request) -> Vec<String> {
    let show = curl("http", &request.target, &setup.second_host);
    let show = show.replace(":6188", &format!(":{listener}"));
    let flags = match request.method.as_str() {
        "POST" => "curl --data x",
        "HEAD" => "curl -I",
        _ => "curl",
    };
    setup.by_hand(&[&show.replacen("curl", flags, 1)])
}

// === impl Location ===

impl<'a> Location<'a> {
    /// Of one that has a host.
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, if scheme == "https" { HTTPS } else { 80 }),
        };
        Some(Self { scheme, host, port, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read() {
        let read = |text| Location::read(text).map(|it| (it.scheme, it.host, it.port, it.target));
        assert_eq!(read("https://a.test:8443/x?y"), Some(("https", "a.test", 8443, "/x?y")));
        assert_eq!(read("https://a.test/"), Some(("https", "a.test", 443, "/")));
        assert_eq!(read("http://a.test?x"), Some(("http", "a.test", 80, "?x")));
        for text in ["/x", "//a.test/x", "https://a.test:x/"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
