//! No backend gets more requests in a row than its weight asks for.

use super::setup::Setup;
use super::weights::{CLUMPING, Weights};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many cycles are looked at.
const CYCLES: usize = 4;

/// Two pools, one after the other; in the second one backend has far the most.
pub async fn smooth(scene: &Scene) -> Outcome {
    let weights =
        [Weights::drawn(&scene.draw, CLUMPING), Weights::drawn(&scene.draw, &[&[5, 1, 1]])];
    let setup = Setup::new(scene, weights, None)?;
    let running = setup.start().await?;
    for (pool, one) in setup.pools.iter().enumerate() {
        let weights = &one.weights;
        let order = setup.order(&running, pool, CYCLES * weights.cycle()).await?;
        let too_long = |(place, run): &(usize, usize)| *run > weights.longest_run(*place);
        let Some((place, run)) = order.runs().into_iter().find(too_long) else { continue };
        let (weight, longest) = (weights.all()[place], weights.longest_run(place));
        let id = if run >= weight { "bursts" } else { "clumps" };
        return Err(setup
            .found(id, pool, &order)
            .compared(format!("{longest} in a row at most"), format!("{run} in a row"))
            .with("backend", one.backends[place].name())
            .with("weight", weight)
            .with("others", weights.cycle() - weight)
            .with("longest", longest)
            .with("run", run)
            .fail());
    }
    Ok(())
}
