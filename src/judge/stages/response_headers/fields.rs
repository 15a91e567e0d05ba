//! `server` goes; every other field of a backend's answer stays.

use super::super::named_proxy::NamedProxy;
use super::{answered, values_of};
use crate::backends::recording::Reply;
use crate::judge::client::Answer;
use crate::judge::exchange::{Exchange, drawn_reply};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// No `server`, and nothing else gone.
pub async fn server_removed(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let software = || format!("{}/{}.{}", draw.word(), draw.number(0..9), draw.number(0..99));
    // Neighbours in name and in purpose, which stay.
    let neighbours = |status| {
        drawn_reply(scene, status)
            .header("X-Powered-By", software())
            .header("Server-Timing", format!("{};dur={}", draw.word(), draw.number(1..99)))
            .header("X-Server", draw.word())
            .header("Cache-Control", "no-cache, max-age=0")
            .header("Vary", "Accept")
            .header("Vary", "Origin")
            .header("X-Empty", "")
    };
    let mut cases = vec![
        ("GET", neighbours(200).header("SERVER", software())),
        ("GET", neighbours(200).header("Server", software()).header("server", software())),
        ("GET", neighbours(404).header("server", software())),
        ("GET", neighbours(*draw.pick(&[500, 502, 503])).header("Server", software())),
        ("GET", neighbours(304).header("Server", software())),
        ("POST", neighbours(201).header("Server", "")),
        ("HEAD", neighbours(200).header("sErVeR", software())),
        ("GET", neighbours(200)),
    ];
    draw.shuffle(&mut cases);
    cases.insert(0, ("GET", neighbours(200).header("Server", software())));
    for (method, reply) in &cases {
        let exchange = answered(&proxy, method, reply).await;
        let (_, answer) = exchange.through(scene, &proxy.running).await?;
        without_server(&proxy, &exchange, reply, answer)?;
    }
    Ok(())
}

fn without_server(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    reply: &Reply,
    answer: &Answer,
) -> Outcome {
    let others = reply.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("server"));
    let other = others
        .map(|(name, _)| (name, values_of(reply, name), answer.values(name)))
        .find(|(_, expected, actual)| expected != actual);
    let servers = answer.values("server");
    let shown = |name: &str, values: &[String]| {
        let lines = values.iter().map(|value| format!("{name}: {value}"));
        if values.is_empty() { format!("no {name}") } else { lines.collect::<Vec<_>>().join(" | ") }
    };
    let owned = |values: &[&str]| values.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let (id, field, expected, actual) = match (servers.as_slice(), other) {
        ([], None) => return Ok(()),
        (servers, None) => {
            let own = values_of(reply, "server");
            let stays = servers.iter().all(|server| own.iter().any(|own| own == server));
            let id = if stays { "server-stays" } else { "server-replaced" };
            (id, "server", "no server".to_owned(), shown("server", &owned(servers)))
        }
        ([], Some((name, expected, actual))) => {
            let lost = actual.len() < expected.len();
            let id = if lost { "other-header-lost" } else { "other-header-changed" };
            (id, name.as_str(), shown(name, &expected), shown(name, &owned(&actual)))
        }
        (servers, Some((name, expected, actual))) => (
            "wrong-header-removed",
            name.as_str(),
            format!("no server | {}", shown(name, &expected)),
            format!("{} | {}", shown("server", &owned(servers)), shown(name, &owned(&actual))),
        ),
    };
    let found = exchange
        .found(proxy.scene, id)
        .compared(expected, actual)
        .with("field", field)
        .with("status", answer.status)
        .repeat(proxy.by_hand(&exchange.request));
    Err(found.fail())
}

/// Cookies: as many fields, in the same order, unchanged.
pub async fn cookies_stay_two(scene: &Scene) -> Outcome {
    let proxy = NamedProxy::start(scene, 2).await?;
    let draw = &scene.draw;
    let cookie = || format!("{}={}", draw.word(), draw.word());
    // The comma in the date is why cookies cannot be joined.
    let dated = || format!("{}; Expires=Wed, 21 Oct 2037 07:28:00 GMT; Path=/", cookie());
    let name = draw.word();
    let same = |path: &str| format!("{name}={}; Path={path}", draw.word());
    let set = |status, cookies: Vec<String>| {
        let fields = cookies.into_iter();
        fields.fold(drawn_reply(scene, status), |reply, one| reply.header("Set-Cookie", one))
    };
    let mut two = vec![dated(), cookie()];
    draw.shuffle(&mut two);
    let cases = [
        set(200, two),
        set(200, vec![same("/b"), same("/a"), format!("{}; HttpOnly; Secure", cookie())]),
        set(302, vec![cookie(), dated()]).header("Location", draw.path()),
        drawn_reply(scene, 200).header("set-cookie", cookie()).header("SET-COOKIE", dated()),
    ];
    for reply in &cases {
        let exchange = answered(&proxy, "GET", reply).await;
        let (_, answer) = exchange.through(scene, &proxy.running).await?;
        same_cookies(&proxy, &exchange, reply, answer)?;
    }
    Ok(())
}

fn same_cookies(
    proxy: &NamedProxy<'_>,
    exchange: &Exchange,
    reply: &Reply,
    answer: &Answer,
) -> Outcome {
    let (expected, actual) = (values_of(reply, "set-cookie"), answer.values("set-cookie"));
    if expected == actual {
        return Ok(());
    }
    let sorted = |values: &[String]| {
        let mut values = values.to_vec();
        values.sort();
        values
    };
    let actual: Vec<_> = actual.into_iter().map(str::to_owned).collect();
    let joined = |one: &String| expected.iter().filter(|cookie| one.contains(*cookie)).count() > 1;
    let id = if actual.iter().any(joined) {
        "cookies-joined"
    } else if actual.len() < expected.len() {
        "cookie-lost"
    } else if sorted(&expected) == sorted(&actual) {
        "cookies-reordered"
    } else {
        "cookie-changed"
    };
    let lines = |values: &[String]| {
        let lines = values.iter().map(|value| format!("set-cookie: {value}"));
        if values.is_empty() {
            "no set-cookie".to_owned()
        } else {
            lines.collect::<Vec<_>>().join(" | ")
        }
    };
    let found = exchange
        .found(proxy.scene, id)
        .compared(lines(&expected), lines(&actual))
        .with("sent", expected.len())
        .with("received", actual.len())
        .repeat(proxy.by_hand(&exchange.request));
    Err(found.fail())
}
