//! A prefix is a whole segment, the first, spelt as it is: `/apiary` is not `/api`.

use super::pools::{Pool, Pools, refusal};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Which pool gets which path, from the plain to the finer; the first that goes
/// wrong says what is wrong.
pub async fn segment_boundary(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [1; 4]).await?;
    for (id, mut cases) in cases(scene) {
        scene.draw.shuffle(&mut cases);
        for (target, wanted) in cases {
            let exchange = pools.send(pools.get(target)).await;
            if let Some(status) = refusal(&exchange).filter(|_| id == "default-not-routed") {
                let found = pools.found(&exchange, id, wanted).with("status", status);
                return Err(found.compared(format!("the pool {wanted}"), status).fail());
            }
            let (reached, _) = pools.reached(&exchange, wanted).await?;
            if reached != wanted {
                return Err(pools.went_wrong(&exchange, id, wanted, reached));
            }
        }
    }
    Ok(())
}

/// Targets with their pools, and what it shows if one goes elsewhere.
fn cases(scene: &Scene) -> Vec<(&'static str, Vec<(String, Pool)>)> {
    use Pool::{Api, Default, Static};
    let word = || scene.draw.word();
    // Not of letters, or it might be a word of its own.
    let mark = *scene.draw.pick(&["-", ".", "_", "~", "2"]);
    vec![
        (
            "prefix-not-routed",
            vec![
                (format!("/api/{}", word()), Api),
                (format!("/api/{}/{}", word(), word()), Api),
                (format!("/static/{}.css", word()), Static),
                (format!("/static/{}/{}/{}", word(), word(), word()), Static),
            ],
        ),
        (
            "default-not-routed",
            vec![
                (scene.draw.path(), Default),
                (format!("/{}", word()), Default),
                ("/".to_owned(), Default),
            ],
        ),
        (
            "prefix-alone-missed",
            vec![
                ("/api".to_owned(), Api),
                ("/api/".to_owned(), Api),
                ("/static".to_owned(), Static),
                ("/static/".to_owned(), Static),
            ],
        ),
        (
            "query-hides-prefix",
            vec![
                (format!("/api?{}", word()), Api),
                (format!("/static?{}=/{}", word(), word()), Static),
            ],
        ),
        (
            "not-a-segment",
            vec![
                ("/apiary".to_owned(), Default),
                (format!("/api{mark}{}/{}", word(), word()), Default),
                (format!("/static{}", word()), Default),
                (format!("/static{mark}{}", word()), Default),
            ],
        ),
        (
            "prefix-anywhere",
            vec![
                (format!("/{}/api/{}", word(), word()), Default),
                (format!("/{}/static", word()), Default),
                (format!("/static/api/{}", word()), Static),
                (format!("/api/static/{}", word()), Api),
                (format!("/{}?next=/api/{}", word(), word()), Default),
                (format!("/?/static/{}", word()), Default),
            ],
        ),
        (
            "path-case-ignored",
            vec![(format!("/API/{}", word()), Default), (format!("/Static/{}", word()), Default)],
        ),
    ]
}
