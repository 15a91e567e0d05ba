//! What has not changed keeps what it knows: an open breaker stays open, and who has used up a
//! limit has still used it up.

use std::net::SocketAddr;
use std::time::Instant;

use toml::Value;

use super::live::{Live, Part, by_hand};
use crate::backends::recording::{Act, Reply};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests may come at once, of one a second.
const BURST: usize = 5;

/// How many failures in a row open the breaker.
const FAILURES: usize = 2;

/// The prefix that has a limit.
const LIMITED: &str = "/anything/limited";

/// Another pool changes.
pub async fn keeps_state(scene: &Scene) -> Outcome {
    let [sign, ill] = [(); 2].map(|()| Part::drawn(scene));
    let signs = scene.backends_named(&sign.pool, 2)?;
    let bad = scene.backends_named(&ill.pool, 1)?;
    let well = scene.backends_named("well", 1)?;
    let count = |number: usize| Value::from(i64::try_from(number).unwrap_or(1));
    let file = |listen: SocketAddr, changed: usize| {
        let file = ConfigFile::new().listener(listen);
        let keys = [("requests", count(1)), ("burst", count(BURST))];
        let file = file.table("[rate_limit.few]", keys);
        let breaker = [
            ("consecutive_failures", count(FAILURES)),
            ("open_for", text("30s")),
            ("statuses", Value::Array(vec![count(500)])),
        ];
        let file = file
            .pool(&ill.pool, None, [bad[0].address()])
            .table("[pool.circuit_breaker]", breaker)
            .pool("well", None, [well[0].address()])
            .route(&[], Some(&ill.prefix), &ill.pool)
            .route(&[], Some(LIMITED), "well")
            .key("rate_limit", Value::Array(vec![text("few")]));
        sign.add(file, &[&signs[changed]])
    };
    let live = Live::start(scene, &|listen| file(listen, 0)).await?;
    live.served(&sign.prefix).await?;
    bad[0].always(Act::Answer(Reply::new(500)));
    for _ in 0..=FAILURES {
        // What comes of it is stage 12's business.
        let _ = live.ask(&ill.prefix).await;
    }
    let reached = || scene.recorder.read(|log| log.requests_to(bad[0].name()).count());
    let begun = Instant::now();
    let before = reached();
    let used = through(&live).await;
    scene.plan("another pool changes");
    live.replace(&file(live.listen(), 1))?;
    live.takes(&sign.prefix, &signs[1], "change-not-seen").await?;
    let _ = live.ask(&ill.prefix).await;
    // Who had not opened it by then is told by stage 12.
    if before == FAILURES && reached() > before {
        let asked = format!("{} requests at {}", reached(), bad[0].name());
        return Err(forgotten("breaker-forgotten", &format!("{FAILURES} requests at it"), asked)
            .map(|found| found.with("pool", &*ill.pool).with("backend", bad[0].name())));
    }
    let all = used + through(&live).await;
    let seconds = begun.elapsed().as_secs_f64();
    // Within T seconds, as stage 10 has it.
    let most = BURST + 1 + usize::try_from(begun.elapsed().as_secs() + 1).unwrap_or(usize::MAX);
    if used <= BURST + 1 && all > most {
        let seen = format!("{all} requests let through in {seconds:.1} s");
        return Err(forgotten("limit-forgotten", &format!("at most {most}"), seen)
            .map(|found| found.with("burst", BURST).with("all", all)));
    }
    Ok(())
}

/// How many of as many as are in a burst are let through.
async fn through(live: &Live<'_>) -> usize {
    let mut through = 0;
    for _ in 0..BURST {
        let answered = live.ask(LIMITED).await;
        through += usize::from(answered.is_ok_and(|answer| answer.status == 200));
    }
    through
}

fn forgotten(id: &'static str, expected: &str, actual: String) -> Finding {
    let found = Diagnosis::new(id).compared(expected, &actual).with("seen", actual);
    found.repeat(by_hand(id)).fail()
}
