//! What decides is the path as its reader will read it: decoded once, and with its
//! dot segments resolved (RFC 3986, sections 5.2.4 and 6.2.2).

use super::pools::{Pool, Pools, refusal};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// A path, and what it comes to.
struct Case {
    /// As it is sent.
    sent: String,
    /// With its dot segments resolved, and else as it was sent.
    resolved: String,
    wanted: Pool,
}

/// Paths whose pool is not the one that they seem to be for.
pub async fn dot_segments(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [1; 4]).await?;
    for (id, mut cases) in cases(scene) {
        scene.draw.shuffle(&mut cases);
        for case in cases {
            decided(&pools, id, &case).await?;
        }
    }
    above_the_root(&pools).await
}

async fn decided(pools: &Pools<'_>, id: &'static str, case: &Case) -> Outcome {
    let Case { sent, resolved, wanted } = case;
    let exchange = pools.send(pools.get(sent)).await;
    let with_path = |finding: Finding| finding.map(|found| found.with("resolved", &**resolved));
    if let Some(status) = refusal(&exchange) {
        let id = if id == "dots-in-a-name" { id } else { "dots-refused" };
        let found = pools.found(&exchange, id, *wanted).with("reached", format!("status {status}"));
        let found = found.compared(format!("the pool {wanted}"), format!("status {status}"));
        return Err(with_path(found.with("status", status).fail()));
    }
    let (reached, received) = pools.reached(&exchange, *wanted).await?;
    if reached != *wanted {
        return Err(with_path(pools.went_wrong(&exchange, id, *wanted, reached)));
    }
    // Whether the backend resolves them or the proxy has: both read the same.
    if received.target != *sent && received.target != *resolved {
        let found = pools.found(&exchange, "dots-forwarded-otherwise", *wanted);
        let found = found.repeat(pools.arrives_by_hand(&exchange, *wanted));
        return Err(with_path(found.compared(sent, &received.target).fail()));
    }
    Ok(())
}

/// From the plain to the finer; the first that goes wrong says what is wrong.
fn cases(scene: &Scene) -> Vec<(&'static str, Vec<Case>)> {
    use Pool::{Api, Default, Static};
    let word = || scene.draw.word();
    let case = |sent: String, resolved: String, wanted| Case { sent, resolved, wanted };
    let to_api = |way: &str| {
        let end = format!("/api/{}", word());
        case(format!("{way}{end}"), end, Api)
    };
    let to_default = |way: &str| {
        let end = format!("/{}?{}=/../api", word(), word());
        case(format!("{way}{end}"), end, Default)
    };
    let same = |sent: String, wanted| case(sent.clone(), sent, wanted);
    let encoded = *scene.draw.pick(&["%2e%2e", "%2E%2E", "%2e%2E", ".%2e", "%2E."]);
    vec![
        (
            "dot-segments-ignored",
            vec![
                to_api("/static/.."),
                to_api(&format!("/{}/..", word())),
                to_default("/api/.."),
                {
                    let end = format!("/static/{}", word());
                    case(format!("/api/..{end}"), end, Static)
                },
            ],
        ),
        ("single-dots-ignored", vec![to_api("/."), to_api(&format!("/./{}/../.", word()))]),
        (
            "encoded-dots-ignored",
            vec![
                to_api("/static/%2e%2e"),
                to_api(&format!("/static/{encoded}")),
                to_default(&format!("/api/{encoded}")),
                to_api("/%2e"),
            ],
        ),
        (
            "dots-resolved-wrongly",
            vec![
                to_api(&format!("/static/{}/{}/../../..", word(), word())),
                to_default(&format!("/api/{}/../..", word())),
                {
                    let kept = word();
                    let (sent, resolved) =
                        (format!("/api/{kept}/{}/..", word()), format!("/api/{kept}/"));
                    case(sent, resolved, Api)
                },
                case("/api/..".to_owned(), "/".to_owned(), Default),
                case(format!("/api/{}/..", word()), "/api/".to_owned(), Api),
            ],
        ),
        (
            "dots-in-a-name",
            vec![
                same(format!("/api/..{}/{}", word(), word()), Api),
                same(format!("/static/{}../{}..{}", word(), word(), word()), Static),
                same(format!("/api/.../{}", word()), Api),
                same("/.well-known/api".to_owned(), Default),
            ],
        ),
        (
            "encoded-letters-ignored",
            vec![
                same(format!("/%61pi/{}", word()), Api),
                same(format!("/st%61ti%63/{}", word()), Static),
            ],
        ),
        (
            "decoded-twice",
            vec![
                same(format!("/static/%252e%252e/api/{}", word()), Static),
                same(format!("/%2561pi/{}", word()), Default),
            ],
        ),
    ]
}

/// Above the root there is only the root (RFC 3986, section 5.2.4); to refuse such
/// a path does no harm either.
async fn above_the_root(pools: &Pools<'_>) -> Outcome {
    let end = format!("/api/{}", pools.scene.draw.word());
    for way in ["/..", "/../..", "/static/../.."] {
        let exchange = pools.send(pools.get(format!("{way}{end}"))).await;
        if refusal(&exchange).is_some() {
            continue;
        }
        let (reached, _) = pools.reached(&exchange, Pool::Api).await?;
        if reached != Pool::Api {
            let id = "dots-resolved-wrongly";
            let finding = pools.went_wrong(&exchange, id, Pool::Api, reached);
            return Err(finding.map(|found| found.with("resolved", &*end)));
        }
    }
    Ok(())
}
