//! The heaviest backend is down: the others share by their own weights, as if it were not
//! there.

use std::time::Duration;

use super::order::{Order, in_proportion};
use super::setup::Setup;
use super::weights::{HEAVY, Weights};
use crate::backends::recording::RecordingBackend;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::looks::all_die;
use crate::judge::stages::own::echo;
use crate::judge::stages::turns::in_words;

/// How many cycles of the whole pool are looked at: where the turns of the dead one are
/// passed on, it is after one of them that the order repeats.
const CYCLES: usize = 3;

/// In one pool the others have the same weights, in the other they have not.
pub async fn heavy_down(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let weights = [Weights::drawn(draw, &[&[5, 1, 1]]), Weights::drawn(draw, HEAVY)];
    let (setup, running, interval) = start(scene, weights).await?;
    for pool in 0..setup.pools.len() {
        // It dies in the middle of a cycle.
        let part = usize::try_from(draw.number(1..6)).unwrap_or(1);
        setup.order(&running, pool, part).await?;
    }
    heaviest_die(scene, &setup, interval).await?;
    for pool in 0..setup.pools.len() {
        let weights = left(&setup, pool);
        // What was due before it died need not be over at once.
        let settling = setup.pools[pool].weights.cycle();
        let requests = settling + CYCLES * settling;
        let order = survivors(&setup, &running, pool, requests).await?.after(settling);
        if let Some(window) = order.first_inexact(&weights) {
            return Err(diagnosed(&setup, pool, &order, &window));
        }
    }
    Ok(())
}

/// A program that looks at its backends often, and backends that answer.
pub async fn start(
    scene: &Scene,
    weights: impl IntoIterator<Item = Weights>,
) -> Result<(Setup<'_>, Running<'_>, Duration), Finding> {
    let interval = Duration::from_millis(scene.draw.number(110..190));
    let setup = Setup::new(scene, weights, Some(interval))?;
    let running = setup.start().await?;
    setup.pools.iter().for_each(|pool| echo(&pool.backends));
    Ok((setup, running, interval))
}

/// The heaviest of each pool refuses; returns once that should be known.
pub async fn heaviest_die(scene: &Scene, setup: &Setup<'_>, interval: Duration) -> Outcome {
    let dead: Vec<_> = (0..setup.pools.len()).map(|pool| heaviest(setup, pool)).collect();
    let others = setup.pools.iter().flat_map(|pool| &pool.backends);
    let others: Vec<_> =
        others.filter(|one| dead.iter().all(|dead| dead.name() != one.name())).collect();
    all_die(scene, &dead, &others, interval).await?;
    Ok(())
}

/// The heaviest backend of a pool.
pub fn heaviest<'s>(setup: &'s Setup<'_>, pool: usize) -> &'s RecordingBackend {
    let pool = &setup.pools[pool];
    &pool.backends[pool.weights.heaviest()]
}

/// Where requests go while the heaviest is known to be down.
pub async fn survivors(
    setup: &Setup<'_>,
    running: &Running<'_>,
    pool: usize,
    requests: usize,
) -> Result<Order, Finding> {
    setup.order(running, pool, requests).await.map_err(|finding| {
        let dead = heaviest(setup, pool).name();
        match finding.diagnosis().id {
            "backend-never-tried" => finding
                .map(|found| found.renamed("dead-still-chosen").with("dead", dead))
                .map(|found| found.with("pool", setup.pool_name(pool)))
                .map(|found| found.repeat(setup.by_hand_without(pool))),
            _ => finding,
        }
    })
}

/// The weights without the greatest, which is 0 then.
fn left(setup: &Setup<'_>, pool: usize) -> Vec<usize> {
    let weights = &setup.pools[pool].weights;
    let mut left = weights.all();
    left[weights.heaviest()] = 0;
    left
}

fn diagnosed(setup: &Setup<'_>, pool: usize, order: &Order, window: &[usize]) -> Finding {
    let weights = left(setup, pool);
    let heavy = setup.pools[pool].weights.heaviest();
    let id = uneven(&weights, heavy, setup.pools[pool].weights.all()[heavy], order);
    let one = |numbers: &[usize]| {
        in_words(numbers.iter().enumerate().filter(|(at, _)| *at != heavy).map(|(_, one)| *one))
    };
    let found: Diagnosis = setup.found(id, pool, order);
    found
        .compared(one(&weights), one(window))
        .with("dead", heaviest(setup, pool).name())
        .with("left", one(&weights))
        .with("got", one(&order.counts()))
        .repeat(setup.by_hand_without(pool))
        .fail()
}

/// What an order shows in which the survivors do not share by their weights.
fn uneven(left: &[usize], heavy: usize, its_weight: usize, order: &Order) -> &'static str {
    let survive = |place: &usize| *place != heavy;
    let counts = order.counts();
    if (0..left.len()).filter(survive).any(|place| counts[place] == 0) {
        return "survivor-left-out";
    }
    // By their weights in the end, but not over each of their cycles, is uneven as well.
    let pattern = order.pattern().filter(|pattern| !in_proportion(pattern, left));
    let Some(pattern) = pattern else { return "survivors-uneven" };
    let heir = |place: usize| {
        let mut shares = left.to_vec();
        shares[place] += its_weight;
        in_proportion(&pattern, &shares)
    };
    let same: Vec<_> = (0..left.len()).map(|place| usize::from(survive(&place))).collect();
    if (0..left.len()).filter(survive).any(heir) {
        "one-inherits-all"
    } else if in_proportion(&pattern, &same) {
        "survivors-unweighted"
    } else {
        "survivors-uneven"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_that_do_not_share_by_their_weights_are_told_apart() {
        let shares = |pattern: &[usize]| {
            let order = Order { backends: 3, turns: pattern.repeat(4) };
            uneven(&[0, 3, 1], 0, 6, &order)
        };
        assert_eq!(shares(&[1, 2]), "survivors-unweighted");
        assert_eq!(shares(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]), "one-inherits-all");
        assert_eq!(shares(&[1, 1, 1, 2, 2, 2, 2, 2, 2, 2]), "one-inherits-all");
        assert_eq!(shares(&[1, 1, 2]), "survivors-uneven");
        assert_eq!(shares(&[1, 1, 1, 1, 1, 1, 2, 2]), "survivors-uneven");
        assert_eq!(shares(&[1]), "survivor-left-out");
    }
}
