//! All of it together, in an order that is drawn; one backend of each pool is right all the
//! time.

use std::time::Duration;

use super::bad_clients::waves;
use super::deeds::Mood;
use super::site::{Phase, Site};
use crate::judge::stage::Outcome;

/// How many steps there are, and how long each takes.
const STEPS: usize = 12;
const STEP: Duration = Duration::from_millis(90);

/// What happens in one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Whether the first backend listens.
    listens: bool,
    /// How the second is.
    second: Mood,
    /// How the third is.
    third: Mood,
    /// What else happens.
    also: Option<Also>,
}

/// What else can happen in a step.
#[derive(Clone, Copy, Debug)]
enum Also {
    Reload,
    BrokenFile,
    BadClients,
}

/// The steps, as they are drawn.
pub fn drawn(site: &Site<'_>) -> Vec<Step> {
    let draw = &site.scene.draw;
    let mut also = [None; STEPS];
    also[..6].copy_from_slice(
        &[
            Also::Reload,
            Also::Reload,
            Also::BrokenFile,
            Also::BadClients,
            Also::BadClients,
            Also::Reload,
        ]
        .map(Some),
    );
    draw.shuffle(&mut also);
    let slow = Mood::Slow(site.pools.read / 4);
    let steps = also.map(|also| Step {
        listens: draw.number(0..2) == 0,
        second: *draw.pick(&[Mood::Well, Mood::Hangs, Mood::BreaksHeads]),
        third: *draw.pick(&[Mood::Well, slow, Mood::BreaksBodies]),
        also,
    });
    for (number, step) in steps.iter().enumerate() {
        site.scene.plan(format!("storm, step {number}: {step:?}"));
    }
    steps.to_vec()
}

/// The storm, over these three backends of the pool.
///
/// # Errors
///
/// Our own, or the program is gone.
pub async fn storm(site: &Site<'_>, steps: &[Step], [a, b, c]: [usize; 3]) -> Outcome {
    site.turn(Phase::Storm).await;
    let web = &site.pools.web.backends;
    let mut listens = true;
    for (number, step) in steps.iter().enumerate() {
        match (listens, step.listens) {
            (true, false) => site.kill(&web[a])?,
            (false, true) => site.revive(&web[a])?,
            _ => {}
        }
        listens = step.listens;
        site.ledger.set(&web[b], step.second);
        site.ledger.set(&web[c], step.third);
        match step.also {
            Some(Also::Reload) => drop(site.reload((number % 2 == 0).then_some(c))?),
            Some(Also::BrokenFile) => site.breaks("[[pool]")?,
            Some(Also::BadClients) => waves(site, 1).await?,
            None => {}
        }
        tokio::time::sleep(STEP).await;
    }
    [a, b, c].iter().try_for_each(|place| site.revive(&web[*place]))
}
