//! No request fails while the file changes fifty times, and the last change is taken.

use std::time::Duration;

use super::live::{ENDS, Live, Part, RESTARTS, by_hand, in_words};
use super::storm::{EVERY, Heard, storm};
use crate::backends::recording::RecordingBackend;
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often the file changes.
const CHANGES: usize = 50;

/// How many backends take turns.
const BACKENDS: usize = 4;

/// How many pools change with the one that is asked for, as in a file of some size: to make them
/// ready takes a moment, in which whoever has cleared what was there has nothing.
const BESIDE: usize = 8;

/// How often their backends are looked at: hardly a second time.
const SELDOM: Duration = Duration::from_secs(20);

/// Each change takes one backend away and brings another.
pub async fn no_failures(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, BACKENDS + 1)?;
    let Some((last, turning)) = backends.split_last() else { return Ok(()) };
    let pair = |nth: usize| [&turning[nth % BACKENDS], &turning[(nth + 1) % BACKENDS]];
    let file = |listen, backends: &[&RecordingBackend]| {
        (0..BESIDE).fold(part.alone(listen, backends), |file, number| {
            let name = format!("{}-{number}", part.pool);
            let addresses = backends.iter().map(|backend| backend.address());
            let file = file.pool(&name, Some(SELDOM), addresses);
            file.route(&[], Some(&format!("/{name}")), &name)
        })
    };
    let live = Live::start(scene, &|listen| file(listen, &pair(0))).await?;
    live.served(&part.prefix).await?;
    scene.plan(format!("{CHANGES} changes of {}, one every {EVERY:?}", part.pool));
    let files = (1..CHANGES).map(|nth| file(live.listen(), &pair(nth)));
    let files = files.chain([file(live.listen(), &[last])]);
    let seen = live.takes(&part.prefix, last, "last-change-lost");
    let (heard, seen) = storm(&live, &part.prefix, files, seen).await?;
    live.lives(ENDS).await?;
    let requests = heard.len();
    // The first of these that was met with anywhere: which request meets with what is chance.
    let met =
        KINDS.iter().find_map(|(id, is)| heard.iter().find(|one| is(one)).map(|one| (*id, one)));
    let Some((id, one)) = met else {
        // What is left was not answered in time.
        let Some(Err(trouble)) = heard.iter().find(|one| failed(one)) else { return seen };
        return Err(live.running.trouble(trouble, &live.request(&part.prefix)).await);
    };
    let failed = heard.iter().filter(|one| failed(one)).count();
    let seen = in_words(one);
    Err(Diagnosis::new(id)
        .compared(
            format!("{requests} requests answered by a backend"),
            format!("{failed} were not: {seen}"),
        )
        .with("requests", requests)
        .with("failed", failed)
        .with("changes", CHANGES)
        .with("seen", seen)
        .with("output", live.last_lines())
        .repeat(by_hand(id))
        .fail())
}

type Kind = (&'static str, fn(&Heard) -> bool);

/// What may become of a request that no backend answers, what explains most first.
const KINDS: &[Kind] = &[
    (RESTARTS, |one| matches!(one, Err(Trouble::Refused))),
    ("connections-dropped", |one| {
        let held = |trouble: &Trouble| {
            matches!(trouble, Trouble::NoAnswer { .. } | Trouble::ConnectTimedOut { .. })
        };
        one.as_ref().is_err_and(|trouble| !held(trouble))
    }),
    ("no-route-for-a-moment", |one| one.as_ref().is_ok_and(|answer| answer.status == 404)),
    ("no-backend-for-a-moment", |one| one.as_ref().is_ok_and(|answer| answer.status != 200)),
];

fn failed(one: &Heard) -> bool {
    !one.as_ref().is_ok_and(|answer| answer.status == 200)
}
