//! What is chosen for one request counts for the next, whether the first is answered or
//! not.

use super::order::Order;
use super::setup::Setup;
use super::weights::{DRAWN, Weights};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::together::together;
use crate::judge::stages::turns::in_words;

/// So many requests at least are under way at the same time.
const PARALLEL: usize = 40;

/// Whole cycles of requests, none of which is answered before all are there.
pub async fn in_parallel(scene: &Scene) -> Outcome {
    let setup = Setup::new(scene, [Weights::drawn(&scene.draw, DRAWN)], None)?;
    let running = setup.start().await?;
    let pool = &setup.pools[0];
    let cycles = PARALLEL.div_ceil(pool.weights.cycle());
    let requests = (0..cycles * pool.weights.cycle()).map(|_| setup.request(&running, 0));
    let requests: Vec<_> = requests.collect();
    let repeat = |count: usize| {
        let mut commands = setup.by_hand(0, count);
        if let Some(probe) = commands.last_mut() {
            probe.push_str(&format!(" --concurrency {count}"));
        }
        commands
    };
    let count = requests.len();
    let exchanges = together(scene, &running, &pool.backends, requests)
        .await
        .map_err(|held| held.finding(repeat(count)))?;
    let mut order = Order { backends: pool.backends.len(), turns: Vec::new() };
    for exchange in exchanges {
        order.turns.push(setup.place(&running, 0, &exchange).await?);
    }
    let wanted: Vec<_> = pool.weights.all().iter().map(|weight| weight * cycles).collect();
    if order.counts() == wanted {
        return Ok(());
    }
    Err(setup
        .found("inexact-in-parallel", 0, &order)
        .compared(in_words(wanted), in_words(order.counts()))
        .with("cycles", cycles)
        .repeat(repeat(count))
        .fail())
}
