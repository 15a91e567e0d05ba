//! `Host` names the backend that gets the request.

use super::super::named_proxy::{NamedProxy, addresses};
use super::claims;
use crate::backends::recording::Received;
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many backends there are.
const BACKENDS: usize = 3;

/// Within so many requests each backend has had one: with turns it takes three.
const REQUESTS: usize = 12;

/// How many requests are under way at once in the second half.
const AT_ONCE: usize = 30;

/// Each backend receives its own address, one request at a time and many.
pub async fn host(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, BACKENDS).await?;
    let mut exchanges = Vec::new();
    for _ in 0..REQUESTS {
        let mut request = proxy.running.request("GET", scene.draw.path());
        let site = format!("{}.example", scene.draw.word());
        scene.plan(format!("for the site {site}"));
        request.headers[0].1 = site.into_bytes();
        let exchange = proxy.exchange(proxy.running.client(), request).await;
        exchange.through(scene, &proxy.running).await?;
        exchanges.push(exchange);
        if exchanges.len() >= 2 * BACKENDS && reached(&exchanges) == BACKENDS {
            break;
        }
    }
    one_by_one(&proxy, &exchanges)?;
    if reached(&exchanges) < BACKENDS {
        let found = exchanges[0].found(scene, "backend-left-out");
        let (count, all) = (reached(&exchanges), format!("requests at all {BACKENDS} backends"));
        return Err(found
            .compared(all, format!("{REQUESTS} requests reached {count} of them"))
            .with("reached", count)
            .repeat(by_hand(&proxy, &exchanges[0]))
            .fail());
    }
    for one in proxy.burst(AT_ONCE, &addresses()[..1]).await? {
        let Some((received, _)) = one.outcome() else { continue };
        if let Some(id) = wrong(&proxy, &one.exchange, received) {
            // One at a time it was right.
            let id = if id == "host-of-another-backend" { "host-mixed-up" } else { id };
            return Err(found(&proxy, &one.exchange, received, id));
        }
    }
    Ok(())
}

fn reached(exchanges: &[Exchange]) -> usize {
    let received = exchanges.iter().filter_map(|exchange| exchange.received.first());
    let mut names: Vec<_> = received.map(|received| &*received.backend).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

fn one_by_one(proxy: &NamedProxy<'_>, exchanges: &[Exchange]) -> Outcome {
    let pairs = || exchanges.iter().filter_map(|one| Some((one, one.received.first()?)));
    let verdicts = pairs().filter_map(|(one, got)| Some((one, got, wrong(proxy, one, got)?)));
    let Some((exchange, received, id)) = verdicts.into_iter().next() else { return Ok(()) };
    let mut hosts = pairs().map(|(_, received)| received.values("host"));
    let first = hosts.next();
    let always_the_same = reached(exchanges) > 1 && hosts.all(|host| Some(host) == first);
    let id = match id {
        "host-of-another-backend" if always_the_same => "host-always-the-same",
        id => id,
    };
    Err(found(proxy, exchange, received, id))
}

/// What is wrong with the `Host` that a backend got.
fn wrong(proxy: &NamedProxy<'_>, exchange: &Exchange, got: &Received) -> Option<&'static str> {
    let own = proxy.address_of(&got.backend)?;
    let hosts = got.values("host");
    // Pingora sends an empty one where there is none.
    if hosts.iter().all(|host| host.is_empty()) {
        return Some("host-missing");
    }
    let [host] = hosts[..] else { return Some("host-wrong") };
    if host == own.to_string() {
        return None;
    }
    let others = || proxy.backends.iter().map(|backend| backend.address());
    Some(if claims(&exchange.request, "host").contains(&host.to_owned()) {
        "host-of-the-client"
    } else if host == own.ip().to_string() {
        "host-without-port"
    } else if others().any(|address| host == address.to_string()) {
        "host-of-another-backend"
    } else {
        "host-wrong"
    })
}

fn found(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    received: &Received,
    id: &'static str,
) -> Finding {
    let own = proxy.address_of(&received.backend).map(|address| address.to_string());
    let actual = match received.values("host")[..] {
        [] => "no host".to_owned(),
        ref hosts => format!("host: {}", hosts.join(" | ")),
    };
    let site = claims(&exchange.request, "host").join(" | ");
    exchange
        .found(proxy.scene, id)
        .compared(format!("host: {}", own.unwrap_or_default()), actual)
        .with("backend", &*received.backend)
        .with("sent", site)
        .repeat(by_hand(proxy, exchange))
        .fail()
}

/// What backends receive is what the probe shows; `curl` shows it only where a
/// backend echoes it.
fn by_hand(proxy: &NamedProxy<'_>, exchange: &Exchange) -> Vec<String> {
    let mut commands = proxy.by_hand(&exchange.request);
    let target = &exchange.request.target;
    let site = claims(&exchange.request, "host").pop().unwrap_or_default();
    commands.truncate(1);
    commands
        .push(format!("pingora-lab probe --count 6 --host {site} http://127.0.0.1:6188{target}"));
    commands
}
