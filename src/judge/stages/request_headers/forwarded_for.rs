//! `x-forwarded-for` is the address of the client's socket, whatever the client
//! says.

use std::net::{IpAddr, SocketAddr};

use super::super::named_proxy::{NamedProxy, addresses};
use super::{claims, stray};
use crate::backends::recording::Received;
use crate::judge::client::{Answer, Request};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The field.
const FIELD: &str = "x-forwarded-for";

/// How many requests are under way at once at the end.
const AT_ONCE: usize = 30;

/// Exactly the client's address, for three clients and for all they can claim.
pub async fn forwarded_for(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let mut clients = addresses();
    // The first is 127.0.0.1, which everybody tries by hand too.
    draw.shuffle(&mut clients[1..]);
    let get = || proxy.running.request("GET", draw.path());
    let mut requests: Vec<_> = clients.iter().map(|client| (*client, get())).collect();

    let mut claimed = lies(scene, &clients).into_iter().map(|lie| {
        let request = lie.iter().fold(get(), |request, (name, value)| request.header(*name, value));
        (*draw.pick(&clients), request)
    });
    // The simplest lie first: it is told in the fewest words.
    requests.extend(claimed.next());
    let mut claimed: Vec<_> = claimed.collect();
    draw.shuffle(&mut claimed);
    requests.append(&mut claimed);

    for (from, request) in requests {
        scene.plan(format!("from {from}"));
        let exchange = proxy.exchange(proxy.running.client_from(from), request).await;
        let (received, answer) = exchange.through(scene, &proxy.running).await?;
        judge(&proxy, &exchange, received, Some(answer), from, "forwarded-for-of-another")?;
    }
    for one in proxy.burst(AT_ONCE, &clients).await? {
        let Some((received, answer)) = one.outcome() else { continue };
        let answer = answer.as_ref().ok();
        judge(&proxy, &one.exchange, received, answer, one.from, "forwarded-for-mixed-up")?;
    }
    Ok(())
}

/// What clients claim about themselves.
fn lies(scene: &Scene, clients: &[IpAddr]) -> Vec<Vec<(&'static str, String)>> {
    let draw = &scene.draw;
    let address = || {
        let number = || draw.number(1..255);
        format!("10.{}.{}.{}", number(), number(), number())
    };
    let another = draw.pick(clients).to_string();
    vec![
        vec![("x-forwarded-for", address())],
        vec![("X-Forwarded-For", format!("{}, {}", address(), address()))],
        vec![("X-Forwarded-For", address()), ("x-forwarded-for", address())],
        vec![
            ("X-FORWARDED-FOR", address()),
            ("x-Forwarded-for", format!("{}, {}", address(), address())),
            ("x-forwarded-for", address()),
        ],
        vec![("X-FoRwArDeD-fOr", format!("{}:{}", address(), draw.number(1024..60_000)))],
        vec![("X-Forwarded-For", String::new())],
        vec![("X-Forwarded-For", draw.word())],
        vec![("X-Forwarded-For", format!("{another}, {}", address()))],
    ]
}

fn judge(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    received: &Received,
    answer: Option<&Answer>,
    from: IpAddr,
    of_another: &'static str,
) -> Outcome {
    let right = from.to_string();
    let values = received.values(FIELD);
    if values == [right.as_str()] {
        return Ok(());
    }
    let request = &exchange.request;
    let lies = claims(request, FIELD);
    let mut actual: Vec<_> = values.iter().map(|value| format!("{FIELD}: {value}")).collect();
    let id = match values.as_slice() {
        [] if answer.is_some_and(|answer| !answer.values(FIELD).is_empty()) => {
            actual.push(format!("no {FIELD} at the backend, but in the answer"));
            "forwarded-for-on-the-answer"
        }
        [] => match misspelt(request, received, from) {
            Some((name, value)) => {
                actual.push(format!("{name}: {value}"));
                "forwarded-for-misspelt"
            }
            None => {
                actual.push(format!("no {FIELD}"));
                "forwarded-for-missing"
            }
        },
        [value] if lies.iter().any(|lie| lie == value) => "spoof-passes",
        [value] if with_port(value, from) => "forwarded-for-with-port",
        values if of_a_lie(values, &lies) => {
            if values.iter().any(|value| value.contains(&right)) {
                "spoof-in-list"
            } else {
                "spoof-passes"
            }
        }
        [_] => of_another,
        _ => "forwarded-for-twice",
    };
    let found = exchange
        .found(proxy.scene, id)
        .compared(format!("{FIELD}: {right}"), actual.join(" | "))
        .with("client", &*right)
        .with("sent", lies.join(" | "))
        .repeat(proxy.by_hand_from(from, request));
    Err(found.fail())
}

/// Whether something of the client's own words is among the values. The empty
/// word counts: it is there if there is more than one value.
fn of_a_lie(values: &[&str], lies: &[String]) -> bool {
    let words = lies.iter().flat_map(|lie| lie.split(',')).map(str::trim);
    let mut elements = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    let words: Vec<_> = words.collect();
    elements.any(|element| words.contains(&element))
}

fn with_port(value: &str, from: IpAddr) -> bool {
    value.parse::<SocketAddr>().is_ok_and(|address| address.ip() == from)
}

fn misspelt(request: &Request, received: &Received, from: IpAddr) -> Option<(String, String)> {
    let right = from.to_string();
    stray(request, received, |value| value == right || with_port(value, from))
}
