//! Over a cycle each backend gets its weight, exactly, wherever the cycle begins; what is
//! not said is 1, and each pool has turns of its own.

use super::order::{Order, in_proportion};
use super::setup::Setup;
use super::weights::{DRAWN, Weights};
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::turns::in_words;

/// How many cycles are looked at, besides a part of one: a draw by weight is exact in all
/// of their windows by no chance that counts, and of a pattern that is none of these
/// weights it is seen that it repeats.
const CYCLES: usize = 6;

/// And where requests to two pools come between each other.
const MIXED: usize = 3;

/// Instead of an id where it is only asked whether there is anything to find.
const NOT_ASKED: &str = "cycle-inexact";

/// Two pools: first each alone, then both by turns.
pub async fn exact_cycle(scene: &Scene) -> Outcome {
    let weights =
        [Weights::drawn(&scene.draw, DRAWN), Weights::drawn(&scene.draw, DRAWN).with_ones_unsaid()];
    let setup = Setup::new(scene, weights, None)?;
    let running = setup.start().await?;
    for pool in 0..setup.pools.len() {
        let cycle = setup.pools[pool].weights.cycle();
        let part = scene.draw.number(0..u64::try_from(cycle).unwrap_or(1));
        let requests = CYCLES * cycle + usize::try_from(part).unwrap_or_default();
        let order = setup.order(&running, pool, requests).await?;
        if exact(&setup, pool, &order, NOT_ASKED).is_err() {
            let id = why_inexact(&setup, &running, pool, &order).await?;
            return exact(&setup, pool, &order, id);
        }
    }
    let mut pools: Vec<_> = (0..setup.pools.len())
        .flat_map(|pool| vec![pool; MIXED * setup.pools[pool].weights.cycle()])
        .collect();
    scene.draw.shuffle(&mut pools);
    let empty = |pool: usize| Order { backends: setup.pools[pool].backends.len(), turns: vec![] };
    let mut orders = [empty(0), empty(1)];
    for pool in pools {
        orders[pool].turns.push(setup.turn(&running, pool).await?);
    }
    for (pool, order) in orders.iter().enumerate() {
        exact(&setup, pool, order, "pools-share-turns")?;
    }
    Ok(())
}

/// Each window as long as a cycle holds each backend as often as its weight says; else a
/// diagnosis with this id.
fn exact(setup: &Setup<'_>, pool: usize, order: &Order, id: &'static str) -> Result<(), Finding> {
    let wanted = setup.pools[pool].weights.all();
    match order.first_inexact(&wanted) {
        None => Ok(()),
        Some(window) => {
            let window = in_words(window);
            let found = setup.found(id, pool, order).compared(in_words(wanted), &window);
            let found = match id {
                "pools-share-turns" => found.repeat(setup.by_hand_mixed(pool)),
                _ => found,
            };
            Err(found.with("window", window).fail())
        }
    }
}

/// Why the order of one pool alone is not exact. One that is exact by and by was disturbed
/// by what came to the pool before it.
async fn why_inexact(
    setup: &Setup<'_>,
    running: &Running<'_>,
    pool: usize,
    order: &Order,
) -> Result<&'static str, Finding> {
    let weights = &setup.pools[pool].weights;
    if pool > 0 {
        let again = setup.order(running, pool, CYCLES * weights.cycle()).await?;
        if again.first_inexact(&weights.all()).is_none() {
            return Ok("pools-share-turns");
        }
    }
    Ok(inexact(weights, order))
}

/// What an order that is not exact shows.
fn inexact(weights: &Weights, order: &Order) -> &'static str {
    let all = weights.all();
    let counts = order.counts();
    let used = counts.iter().filter(|count| **count > 0).count();
    let Some(pattern) = order.pattern() else {
        return if used == 1 { "one-gets-all" } else { "drawn-by-weight" };
    };
    let mut sorted = pattern.clone();
    sorted.sort_unstable();
    let mut wanted = all.clone();
    wanted.sort_unstable();
    let other =
        |change: fn(usize) -> usize| -> Vec<_> { all.iter().map(|one| change(*one)).collect() };
    let is = |other: &[usize]| in_proportion(&pattern, other);
    let unsaid = |of: usize| weights.said().map(|said| said.map_or(of, usize::from)).collect();
    let by_unsaid = (0..=16).filter(|of| *of != 1).map(unsaid).any(|one: Vec<_>| is(&one));
    match used {
        1 => "one-gets-all",
        _ if weights.said().any(|said| said.is_none()) && by_unsaid => "default-weight",
        _ if is(&vec![1; all.len()]) => "weights-ignored",
        _ if is(&other(|one| one + 1)) || is(&other(|one| one - 1)) => "weight-off-by-one",
        _ if used < all.len() => "some-get-nothing",
        _ if in_proportion(&sorted, &wanted) => "weights-mixed-up",
        _ => "cycle-inexact",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::draw::Draw;

    #[test]
    fn what_is_not_exact_is_named_for_what_it_is() {
        let weights = Weights::drawn(&Draw::new(1, "stage", "check"), &[&[4, 4, 2]]);
        let all = weights.all();
        let blocks = |shares: &[usize]| {
            let block = |(place, share): (usize, &usize)| vec![place; *share];
            let cycle: Vec<_> = shares.iter().enumerate().flat_map(block).collect();
            Order { backends: shares.len(), turns: cycle.repeat(4) }
        };
        let mut turned = all.clone();
        turned.rotate_left(1);
        let mut left_out = all.clone();
        left_out[0] = 0;
        for (shares, id) in [
            (vec![1, 1, 1], "weights-ignored"),
            (all.iter().map(|one| one + 1).collect(), "weight-off-by-one"),
            (all.iter().map(|one| one - 1).collect(), "weight-off-by-one"),
            (vec![0, 1, 0], "one-gets-all"),
            (left_out, "some-get-nothing"),
            (all.iter().map(|one| one * one).collect(), "cycle-inexact"),
        ] {
            assert_eq!(inexact(&weights, &blocks(&shares)), id, "{shares:?}");
        }
        if turned != all {
            assert_eq!(inexact(&weights, &blocks(&turned)), "weights-mixed-up");
        }
        let drawn = Order { backends: 3, turns: vec![0, 0, 1, 2, 0, 1, 1, 0, 2, 0, 0, 0, 1] };
        assert_eq!(inexact(&weights, &drawn), "drawn-by-weight");
    }
}
