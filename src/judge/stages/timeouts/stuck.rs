//! An answer that stops in the middle of its body: it is ended, and does not look whole.

use futures_util::future;

use super::setup::{EARLY, LATE, LONG, Limit, Limits, Setup, Waited, drawn};
use crate::backends::recording::{Act, Framing, Reply};
use crate::judge::client::{Cut, Trouble};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::echo;

/// A body whose length is said before, and one in chunks.
pub async fn stuck_body(scene: &Scene) -> Outcome {
    let framings = [Framing::ContentLength, Framing::Chunked(50)];
    let limits = Limits { read: drawn(scene, 150..220), total: LONG };
    let setup = Setup::start(scene, &framings.map(|_| (1, limits))).await?;
    for (pool, framing) in framings.into_iter().enumerate() {
        let reply = Reply::ok(scene.draw.bytes(400)).framing(framing);
        let chunk = reply.to_bytes("GET").len() - 150;
        setup.pools[pool].backends[0].always(Act::Drip { reply, chunk, every: LONG });
    }
    let sent =
        (0..framings.len()).map(|pool| setup.waited(setup.request(pool, "GET"), limits.read));
    for (pool, waited) in future::join_all(sent).await.iter().enumerate() {
        is_cut(&setup, pool, waited).await?;
        // What is left of it is not the beginning of the next answer.
        echo(&setup.pools[pool].backends);
        setup.is_well(pool, "GET").await?;
    }
    Ok(())
}

/// Whoever has not begun to pass it on may say so with an error of its own.
async fn is_cut(setup: &Setup<'_>, pool: usize, waited: &Waited) -> Outcome {
    let Waited { tried, took } = waited;
    let time = setup.pools[pool].limits.read;
    let id = match &tried.exchange.answer {
        Ok(answer) if answer.status < 500 => "cut-answer-looks-whole",
        Err(
            Trouble::NoAnswer { .. } | Trouble::Incomplete { because: Cut::PatienceOver(_), .. },
        ) if setup.running.ended().await.is_none() => "body-held",
        Ok(_) | Err(Trouble::Incomplete { .. } | Trouble::EmptyReply | Trouble::Reset) => {
            match *took {
                took if took + EARLY < time => "ended-too-soon",
                took if took > time + LATE => "ended-too-late",
                _ => return Ok(()),
            }
        }
        Err(_) => return Err(tried.finding(setup.scene, &setup.running).await),
    };
    let found = setup.found(id, pool, Limit::Read, waited);
    let expected = format!("a broken answer, after {} ms", time.as_millis());
    let actual = match &tried.exchange.answer {
        Ok(answer) => format!("{} with {} bytes, as if whole", answer.status, answer.body.len()),
        Err(trouble) => trouble.to_string(),
    };
    let found = found.compared(expected, actual).repeat(Vec::new());
    Err(if id == "cut-answer-looks-whole" { found.fail() } else { found.timed().fail() })
}
