//! The whole file counts: routes that come and go, weights, limits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use toml::Value;

use super::live::{INTERVAL, Live, Part, by_hand, in_words};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::turns::in_words as list;

/// The weights of two backends, first these and then those.
const WEIGHTS: [[u16; 2]; 2] = [[1, 1], [3, 1]];

/// A cycle of the latter.
const CYCLE: usize = 4;

/// How many requests come at once where one a second may.
const HURRIED: usize = 4;

/// One change of everything.
pub async fn whole_file(scene: &Scene) -> Outcome {
    let [sign, web, heavy] = [(); 3].map(|()| Part::drawn(scene));
    let (old, new, calm) = ("/anything/old", "/anything/new", "/anything/calm");
    let signs = scene.backends_named(&sign.pool, 2)?;
    let webs = scene.backends_named(&web.pool, 1)?;
    let heavies = scene.backends_named(&heavy.pool, 2)?;
    let file = |listen: SocketAddr, changed: usize| {
        let file = ConfigFile::new().listener(listen);
        let file = if changed == 1 {
            let keys = [("requests", Value::from(1)), ("burst", Value::from(1))];
            file.table("[rate_limit.tight]", keys)
        } else {
            file
        };
        let weights = heavies.iter().zip(WEIGHTS[changed]);
        let weights = weights.map(|(backend, weight)| (backend.address(), Some(weight)));
        let file = file.weighted_pool(&heavy.pool, Some(INTERVAL), weights).route(
            &[],
            Some(&heavy.prefix),
            &heavy.pool,
        );
        let file = web.add(sign.add(file, &[&signs[changed]]), &[&webs[0]]);
        let file = file.route(&[], Some([old, new][changed]), &web.pool);
        let file = file.route(&[], Some(calm), &web.pool);
        if changed == 1 { file.key("rate_limit", Value::Array(vec![text("tight")])) } else { file }
    };
    let live = Live::start(scene, &|listen| file(listen, 0)).await?;
    for prefix in [&sign.prefix, &web.prefix, &heavy.prefix, old, calm] {
        live.served(prefix).await?;
    }
    scene.plan("another backend, another route, other weights, a limit");
    live.replace(&file(live.listen(), 1))?;
    live.takes(&sign.prefix, &signs[1], "change-not-seen").await?;
    let found = |id, expected: &str, seen: String| {
        let found = Diagnosis::new(id).compared(expected, &seen).with("seen", seen);
        Err(found.with("output", live.last_lines()).repeat(by_hand(id)).fail())
    };

    let answered = live.ask(new).await;
    if !answered.as_ref().is_ok_and(|answer| answer.status == 200) {
        return found("routes-stay", "an answer through the new route", in_words(&answered));
    }
    let answered = live.ask(old).await;
    if !answered.as_ref().is_ok_and(|answer| answer.status == 404) {
        return found("old-route-stays", "404, since the route is gone", in_words(&answered));
    }
    let mut counts = [0; 2];
    // What was due before need not be over at once.
    for turn in 0..3 * CYCLE {
        let answer = live.served(&heavy.prefix).await?;
        let place = heavies.iter().position(|backend| answer.text() == backend.name());
        if let (Some(place), true) = (place, turn >= CYCLE) {
            counts[place] += 1;
        }
    }
    let wanted = WEIGHTS[1].map(|weight| 2 * usize::from(weight));
    if counts != wanted {
        return found("weights-stay", &list(wanted), list(counts));
    }
    let begun = Instant::now();
    let mut through = 0;
    for _ in 0..HURRIED {
        let answered = live.ask(calm).await;
        through += usize::from(answered.is_ok_and(|answer| answer.status == 200));
    }
    if through == HURRIED && begun.elapsed() < Duration::from_secs(2) {
        let expected = format!("most of {HURRIED} requests at once answered 429");
        return found("limits-stay", &expected, "all of them let through".to_owned());
    }
    Ok(())
}
