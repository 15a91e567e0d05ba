//! Many keys are shared out evenly, as far as a ring can.

use super::keyed::{Keyed, Order};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::turns::in_words;

/// How many backends there are.
const BACKENDS: usize = 4;

/// So many that chance alone makes a share wrong by 7 % (one standard deviation).
const KEYS: usize = 600;

/// The least that a backend may have, as a part of its even share. On a ring of 160
/// points for each backend, as Ketama has it, a share differs by 7 % (one standard
/// deviation); with what chance adds, half of a share is five of them away.
const LEAST: f64 = 0.5;

/// The most that a backend may have, likewise.
const MOST: f64 = 1.6;

/// A key each.
const BY_HAND: &[&str] = &[
    "for i in $(seq 60); do curl -s -o /dev/null -D - -H \"{field}: user-$i\" 127.0.0.1:6188/get; done | grep -i x-lab-backend | sort | uniq -c",
];

/// Each key once.
pub async fn even(scene: &Scene) -> Outcome {
    let keyed = Keyed::drawn(scene, BACKENDS, None)?;
    let running = keyed.start(Order::First).await?;
    scene.plan(format!("{KEYS} keys"));
    let keys = keyed.keys(KEYS);
    let homes = keyed.homes(&running, &keys).await.map_err(|(_, finding)| finding)?;
    let counts = homes.counts();
    let share = KEYS / BACKENDS;
    let bound = |part: f64| (share as f64 * part).round() as usize;
    let (least, most) = (bound(LEAST), bound(MOST));
    if counts.iter().all(|count| (least..=most).contains(count)) {
        return Ok(());
    }
    let id = if counts.contains(&0) { "backend-without-keys" } else { "uneven-keys" };
    Err(keyed
        .found(id, BY_HAND)
        .compared(format!("{least} to {most} of {KEYS} keys at each"), in_words(&counts))
        .with("keys", KEYS)
        .with("share", share)
        .with("least", least)
        .with("most", most)
        .with("counts", in_words(&counts))
        .fail())
}
