//! A file that is away for a moment is about to come back: nothing changes, and when it is back
//! it is taken.

use std::time::{Duration, Instant};

use super::live::{Live, Part, by_hand, in_words, is_of};
use crate::judge::diagnosis::Diagnosis;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How long it is away.
const AWAY: Duration = Duration::from_millis(300);

/// The program has ended meanwhile.
const ENDS_WITHOUT: &str = "ends-without-file";

/// The pause between two requests meanwhile.
const PAUSE: Duration = Duration::from_millis(25);

/// It is moved away, and another is put where it was.
pub async fn file_goes(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, 2)?;
    let live = Live::start(scene, &|listen| part.alone(listen, &[&backends[0]])).await?;
    live.served(&part.prefix).await?;
    scene.plan(format!("no file for {AWAY:?}"));
    live.ours(std::fs::remove_file(&live.path))?;
    let since = Instant::now();
    while since.elapsed() < AWAY {
        let answered = live.ask(&part.prefix).await;
        if let Err(trouble) = &answered {
            let finding = live.running.trouble(trouble, &live.request(&part.prefix)).await;
            live.lives(ENDS_WITHOUT).await?;
            return Err(finding);
        }
        live.lives(ENDS_WITHOUT).await?;
        if !is_of(&answered, &backends[0]) {
            let seen = in_words(&answered);
            return Err(Diagnosis::new("empty-without-file")
                .compared(format!("an answer of {}", backends[0].name()), &seen)
                .with("seen", seen)
                .with("output", live.last_lines())
                .repeat(by_hand("empty-without-file"))
                .fail());
        }
        tokio::time::sleep(PAUSE).await;
    }
    live.replace(&part.alone(live.listen(), &[&backends[1]]))?;
    live.takes(&part.prefix, &backends[1], "file-not-back").await
}
