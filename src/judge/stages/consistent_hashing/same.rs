//! The same key comes to the same backend: whatever else differs between two requests,
//! whichever program has the same backends in its file.

use std::net::{IpAddr, Ipv4Addr};

use super::keyed::{Homes, Keyed, Order};
use crate::judge::client::{Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// So many that they are not all at home in one place: with three backends that happens
/// once in 10^9 runs.
const KEYS: usize = 20;

/// How often each of them comes.
const TIMES: usize = 3;

/// How often one request is sent again where that is to tell something: a choice that
/// does not go by the request stays with one of three backends once in 3^19 runs.
const AGAIN: usize = 20;

/// The same request again and again, to see whether anything keeps it where it is.
const SAME_REQUEST: &[&str] = &[
    "for i in 1 2 3 4 5 6; do curl -s -o /dev/null -D - -H '{field}: ann' 127.0.0.1:6188/get; done",
];

/// One key in different requests.
const OTHER_REQUESTS: &[&str] = &[
    "for i in $(seq 9); do curl -s -o /dev/null -D - -H '{field}: ann' 127.0.0.1:6188/anything/$i; done | grep -i x-lab-backend",
];

/// One key of different clients.
const OTHER_CLIENTS: &[&str] = &[
    "for i in $(seq 9); do curl -s -o /dev/null -D - --interface 127.0.0.$i -H '{field}: ann' 127.0.0.1:6188/get; done | grep -i x-lab-backend",
];

/// Different keys.
const OTHER_KEYS: &[&str] = &[
    "for i in $(seq 20); do curl -s -o /dev/null -D - -H \"{field}: user-$i\" 127.0.0.1:6188/get; done | grep -i x-lab-backend | sort | uniq -c",
];

/// Keys in any order, each several times, with other paths, methods and clients; then the
/// same keys to two more programs.
pub async fn same_key(scene: &Scene) -> Outcome {
    let count = usize::try_from(scene.draw.number(3..6)).unwrap_or(3);
    let keyed = Keyed::drawn(scene, count, None)?;
    let running = keyed.start(Order::First).await?;
    let keys = keyed.keys(KEYS);
    let homes = one_home_each(scene, &keyed, &running, &keys).await?;
    if homes.counts().contains(&KEYS) {
        return Err(keyed
            .found("one-home-for-all", OTHER_KEYS)
            .compared(format!("{KEYS} keys at several backends"), "all of them at one")
            .with("keys", KEYS)
            .fail());
    }
    whoever_asks(scene, &keyed, &running, &keys, &homes).await?;
    // A second program beside the first, and a third with another order of the backends.
    for (order, id) in
        [(Order::First, "another-home-each-run"), (Order::Reversed, "file-order-decides")]
    {
        let another = keyed.start(order).await?;
        let there = keyed.homes(&another, &keys).await.map_err(|(_, finding)| finding)?;
        let moved = homes.moved(&there);
        if !moved.is_empty() {
            return Err(keyed
                .found(id, &[])
                .repeat(keyed.by_hand_beside(order))
                .compared(
                    format!("all of {KEYS} keys at the backends that they had before"),
                    format!("{} of them elsewhere", moved.len()),
                )
                .with("keys", KEYS)
                .with("moved", moved.len())
                .fail());
        }
    }
    Ok(())
}

/// Each key in requests that have nothing else in common.
async fn one_home_each(
    scene: &Scene,
    keyed: &Keyed<'_>,
    running: &Running<'_>,
    keys: &[String],
) -> Result<Homes, Finding> {
    let draw = &scene.draw;
    let mut turns: Vec<_> = (0..keys.len() * TIMES).map(|turn| turn % keys.len()).collect();
    draw.shuffle(&mut turns);
    scene.plan(format!("keys in the order {turns:?}"));
    let mut homes: Vec<Option<usize>> = vec![None; keys.len()];
    for key in turns {
        let method = *draw.pick(&["GET", "POST", "DELETE"]);
        let target = format!("{}?{}", draw.path(), draw.word());
        let mut request = running.request(method, target);
        let noise = (format!("x-{}", draw.word()), draw.word());
        let mut fields = [(keyed.field.clone(), keys[key].clone()), noise];
        draw.shuffle(&mut fields);
        for (name, value) in &fields {
            request = request.header(name, value);
        }
        if method == "POST" {
            request = request.body(draw.bytes(40));
        }
        let exchange = Exchange::of(scene, running.client(), request).await;
        let place = keyed.place(running, &exchange).await?;
        let home = *homes[key].get_or_insert(place);
        if home != place {
            return Err(why_elsewhere(scene, keyed, running, &exchange, home, place).await?);
        }
    }
    let of = homes.into_iter().map(Option::unwrap_or_default).collect();
    Ok(Homes { backends: keyed.backends.len(), of })
}

/// The same key came to two backends: does one request at least stay where it is?
async fn why_elsewhere(
    scene: &Scene,
    keyed: &Keyed<'_>,
    running: &Running<'_>,
    exchange: &Exchange,
    home: usize,
    place: usize,
) -> Result<Finding, Finding> {
    let mut stays = true;
    for _ in 0..AGAIN {
        let again = Exchange::of(scene, running.client(), exchange.request.clone()).await;
        stays &= keyed.place(running, &again).await? == place;
    }
    let id = if stays { "more-than-the-key" } else { "key-ignored" };
    Ok(elsewhere(scene, keyed, exchange, id, home, place))
}

/// Clients at other addresses with the same keys.
async fn whoever_asks(
    scene: &Scene,
    keyed: &Keyed<'_>,
    running: &Running<'_>,
    keys: &[String],
    homes: &Homes,
) -> Outcome {
    for ((last, key), home) in (2..).zip(keys).zip(&homes.of) {
        let client = running.client_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let exchange = Exchange::of(scene, client, keyed.request(running, key)).await;
        if matches!(exchange.answer, Err(Trouble::NoSuchAddress { .. })) {
            // One address alone says enough of all else.
            return Ok(());
        }
        let place = keyed.place(running, &exchange).await?;
        if place != *home {
            return Err(elsewhere(scene, keyed, &exchange, "client-in-the-key", *home, place));
        }
    }
    Ok(())
}

fn elsewhere(
    scene: &Scene,
    keyed: &Keyed<'_>,
    exchange: &Exchange,
    id: &'static str,
    home: usize,
    place: usize,
) -> Finding {
    let [home, place] = [home, place].map(|place| keyed.backends[place].name().to_owned());
    let by_hand = match id {
        "more-than-the-key" => OTHER_REQUESTS,
        "client-in-the-key" => OTHER_CLIENTS,
        _ => SAME_REQUEST,
    };
    exchange
        .found(scene, id)
        .repeat(keyed.found(id, by_hand).repeat)
        .with("field", &*keyed.field)
        .compared(format!("{home}, as before"), &place)
        .with("key", key_of(keyed, &exchange.request))
        .with("home", home)
        .with("reached", place)
        .fail()
}

fn key_of(keyed: &Keyed<'_>, request: &Request) -> String {
    let field = request.headers.iter().find(|(name, _)| *name == keyed.field);
    field.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned())
}
