//! One host has a pool of its own, in whatever case and with whatever port it is
//! named; all others are as good as none.

use super::forwarding::as_sent;
use super::pools::{Pool, Pools, host_named, refusal};
use crate::judge::client::Request;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The host in every spelling, whatever the path.
pub async fn host_matching(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [1; 4]).await?;
    let (host, draw) = (pools.host.clone(), &scene.draw);
    let letters = host.chars().enumerate();
    let mixed = letters.map(|(at, c)| if at % 2 == 1 { c.to_ascii_uppercase() } else { c });
    let mixed: String = mixed.collect();
    let port = || draw.number(1..65_536);
    let plain = |host: String| (draw.path(), host);
    let cases = [
        (
            "host-never-matches",
            vec![
                plain(host.clone()),
                ("/".to_owned(), host.clone()),
                (
                    format!("/{}%2F%41//{}/?{}=%20", draw.word(), draw.word(), draw.word()),
                    host.clone(),
                ),
            ],
        ),
        (
            "host-with-port",
            vec![
                plain(format!("{host}:{}", port())),
                plain(format!("{host}:80")),
                plain(format!("{host}:{}", port())),
            ],
        ),
        (
            "host-in-capitals",
            vec![
                plain(host.to_ascii_uppercase()),
                plain(mixed),
                plain(format!("{}:{}", host.to_ascii_uppercase(), port())),
            ],
        ),
        (
            "path-before-host",
            vec![
                (format!("/api/{}", draw.word()), host.clone()),
                (format!("/static/{}", draw.word()), host.clone()),
            ],
        ),
    ];
    for (id, cases) in cases {
        for (target, host) in cases {
            let exchange = pools.send(pools.get(target).for_host(Some(&host))).await;
            let (reached, received) = pools.reached(&exchange, Pool::Admin).await?;
            if reached != Pool::Admin {
                let finding = pools.went_wrong(&exchange, id, Pool::Admin, reached);
                return Err(finding.map(|found| found.with("named", host)));
            }
            as_sent(&pools, &exchange, Pool::Admin, received)?;
        }
    }
    Ok(())
}

/// Hosts that are not the one, however much they look like it.
pub async fn unknown_host(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [1; 4]).await?;
    let (host, draw) = (pools.host.clone(), &scene.draw);
    let get = |named: &str| pools.get(draw.path()).for_host(Some(named));
    let nameless = Request::new("GET", draw.path()).http10();
    let api = pools.get(format!("/api/{}", draw.word()));
    let cases: [(_, Vec<(Request, Pool)>); 4] = [
        (
            "unknown-host-elsewhere",
            vec![
                (get(&format!("{}.example", draw.word())), Pool::Default),
                (
                    get(&format!("{}.example:{}", draw.word(), draw.number(1..65_536))),
                    Pool::Default,
                ),
                (get("[::1]:8080"), Pool::Default),
                (api.for_host(Some(&format!("{}.example", draw.word()))), Pool::Api),
                (nameless, Pool::Default),
            ],
        ),
        (
            "host-ends-with",
            vec![
                (get(&format!("{}{host}", draw.word())), Pool::Default),
                (get(&format!("{}.{host}", draw.word())), Pool::Default),
            ],
        ),
        (
            "host-begins-with",
            vec![
                (get(&format!("{host}.{}.example", draw.word())), Pool::Default),
                (get(&format!("{host}{}", draw.word())), Pool::Default),
                (
                    get(&format!("{}.example", host.split('.').next().unwrap_or_default())),
                    Pool::Default,
                ),
            ],
        ),
        (
            "forwarded-host-trusted",
            vec![
                (
                    get(&format!("{}.example", draw.word())).header("X-Forwarded-Host", &host),
                    Pool::Default,
                ),
                (
                    get(&format!("{}.example", draw.word()))
                        .header("Forwarded", format!("host={host}")),
                    Pool::Default,
                ),
            ],
        ),
    ];
    for (id, cases) in cases {
        for (request, wanted) in cases {
            let named = host_named(&request).unwrap_or_else(|| "(none)".to_owned());
            let exchange = pools.send(request).await;
            if let Some(status) = refusal(&exchange) {
                let found = pools.found(&exchange, "unknown-host-refused", wanted);
                return Err(found
                    .compared(format!("the pool {wanted}"), status)
                    .with("status", status)
                    .with("named", named)
                    .fail());
            }
            let (reached, _) = pools.reached(&exchange, wanted).await?;
            if reached != wanted {
                let finding = pools.went_wrong(&exchange, id, wanted, reached);
                return Err(finding.map(|found| found.with("named", named)));
            }
        }
    }
    Ok(())
}
