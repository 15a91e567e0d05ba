//! No request fails while the file changes fifty times, and the last change is taken.

use super::live::{ENDS, Live, Part, RESTARTS, by_hand, in_words};
use super::storm::{EVERY, Heard, storm};
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How often the file changes.
const CHANGES: usize = 50;

/// How many backends take turns.
const BACKENDS: usize = 4;

/// Each change takes one backend away and brings another.
pub async fn no_failures(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, BACKENDS + 1)?;
    let Some((last, turning)) = backends.split_last() else { return Ok(()) };
    let pair = |nth: usize| [&turning[nth % BACKENDS], &turning[(nth + 1) % BACKENDS]];
    let live = Live::start(scene, &|listen| part.alone(listen, &pair(0))).await?;
    live.served(&part.prefix).await?;
    scene.plan(format!("{CHANGES} changes of {}, one every {EVERY:?}", part.pool));
    let files = (1..CHANGES).map(|nth| part.alone(live.listen(), &pair(nth)));
    let files = files.chain([part.alone(live.listen(), &[last])]);
    let seen = live.takes(&part.prefix, last, "last-change-lost");
    let (heard, seen) = storm(&live, &part.prefix, files, seen).await?;
    live.lives(ENDS).await?;
    let requests = heard.len();
    // The first of these that was met with anywhere: which request meets with what is chance.
    let met =
        KINDS.iter().find_map(|(id, is)| heard.iter().find(|one| is(one)).map(|one| (*id, one)));
    let Some((id, one)) = met else { return seen };
    let failed = heard.iter().filter(|one| failed(one)).count();
    let seen = in_words(one);
    let found = Diagnosis::new(id)
        .compared(
            format!("{requests} requests answered by a backend"),
            format!("{failed} were not: {seen}"),
        )
        .with("requests", requests)
        .with("failed", failed)
        .with("changes", CHANGES)
        .with("seen", seen)
        .with("output", live.last_lines())
        .repeat(by_hand());
    Err(if id == HELD { found.timed().fail() } else { found.fail() })
}

const HELD: &str = "held-up-by-reload";

type Kind = (&'static str, fn(&Heard) -> bool);

/// What may become of a request that is not answered by a backend, what explains most first.
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
    (HELD, failed),
];

fn failed(one: &Heard) -> bool {
    !one.as_ref().is_ok_and(|answer| answer.status == 200)
}
