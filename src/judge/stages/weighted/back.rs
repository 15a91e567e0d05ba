//! The heaviest backend is back: it gets its share again, and not what it has missed.

use std::time::{Duration, Instant};

use super::down::{heaviest, heaviest_die, start, survivors};
use super::order::Order;
use super::weights::{HEAVY, Weights};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::listen;
use crate::judge::stages::turns::in_words;

/// How many requests the others get meanwhile: a backend that was owed its turns would be
/// owed many.
const MISSED: usize = 24;

/// How many cycles are looked at after its return; of the first only that it is no burst.
const CYCLES: usize = 4;

/// How long it may be back before it is used again.
const TO_COME_BACK: Duration = Duration::from_secs(4);

/// The pause between two requests that wait for it.
const PAUSE: Duration = Duration::from_millis(20);

/// It dies, and is back; from its first request on, all are counted.
pub async fn heavy_back(scene: &Scene) -> Outcome {
    let (setup, running, interval) = start(scene, [Weights::drawn(&scene.draw, HEAVY)]).await?;
    let weights = &setup.pools[0].weights;
    let (heavy, cycle) = (weights.heaviest(), weights.cycle());
    setup.order(&running, 0, cycle + 1).await?;
    heaviest_die(scene, &setup, interval).await?;
    survivors(&setup, &running, 0, MISSED).await?;
    listen(scene, heaviest(&setup, 0))?;
    let back = Instant::now();
    let found = |id, order: &Order| {
        let found = setup.found(id, 0, order).with("backend", heaviest(&setup, 0).name());
        let found = found.repeat(setup.by_hand_without(0));
        found.with("weight", weights.all()[heavy]).with("missed", MISSED)
    };
    loop {
        // Of such there are more or less, as time goes: nothing is drawn for them.
        if setup.unplanned_turn(&running, 0).await? == heavy {
            break;
        }
        if back.elapsed() > TO_COME_BACK {
            let seconds = back.elapsed().as_secs();
            return Err(found("never-comes-back", &Order::default())
                .compared("a request at it", format!("none within {seconds} s of its return"))
                .with("seconds", seconds)
                .timed()
                .fail());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut order = setup.order(&running, 0, (CYCLES + 1) * cycle - 1).await?;
    order.turns.insert(0, heavy);
    let first = Order { backends: order.backends, turns: order.turns[..cycle].to_vec() };
    let (got, most) = (first.counts()[heavy], weights.all()[heavy] + 1);
    if got > most {
        return Err(found("catches-up", &order)
            .compared(format!("at most {most} of the first {cycle} requests"), got)
            .with("got", got)
            .fail());
    }
    let settled = order.after(cycle);
    match settled.first_inexact(&weights.all()) {
        None => Ok(()),
        Some(window) => Err(found("inexact-after-return", &settled)
            .compared(in_words(weights.all()), in_words(window))
            .fail()),
    }
}
