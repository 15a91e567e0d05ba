//! A connection from the pool that the backend closes under a GET: the backend is
//! well, and a GET may be sent again, so the client gets its answer.

use super::own::{Own, Tried};
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// The diagnoses that [`gets_are_saved`] can come to.
pub const NOT_RETRIED: &str = "stale-get-not-retried";
/// See [`NOT_RETRIED`].
pub const BLAMES_BACKEND: &str = "stale-blames-backend";

/// The first makes a connection; each of the others may come over that of the one
/// before.
const REQUESTS: usize = 7;

/// One backend only, which these targets come to: it must be asked again, or nobody can be. It serves one
/// request of each connection and is gone with the next, as a backend whose
/// patience ends at the moment at which the proxy uses the connection.
///
/// # Errors
///
/// A request is not answered.
pub async fn gets_are_saved(
    scene: &Scene,
    running: &Running<'_>,
    backend: &RecordingBackend,
    target: &(dyn Fn() -> String + Sync),
) -> Outcome {
    for _ in 0..REQUESTS {
        let (how, gone) = match scene.draw.number(0..2) {
            0 => ("closed", Act::CloseBeforeAnswer),
            _ => ("reset", Act::ResetBeforeAnswer),
        };
        scene.plan(format!("a connection that has served a request is {how} with the next"));
        backend.set_to(move |received| match received.nth_on_connection {
            1 => Act::Answer(Reply::ok(received.target.clone())),
            _ => gone.clone(),
        });
        let own = Own::drawn_to(scene, running, "GET", target());
        let tried = own.send(scene, running.client()).await;
        is_saved(scene, running, &tried, how).await?;
    }
    Ok(())
}

/// What is wrong where a GET that met with the end of its connection is answered so.
pub fn not_saved(status: u16) -> &'static str {
    // Nobody is left to ask.
    if status == 503 { BLAMES_BACKEND } else { NOT_RETRIED }
}

/// The client has the backend's answer, over whichever connection it came.
async fn is_saved(
    scene: &Scene,
    running: &Running<'_>,
    tried: &Tried,
    how: &'static str,
) -> Outcome {
    let received = &tried.exchange.received;
    let answered = received.iter().filter(|one| one.nth_on_connection == 1).count();
    let stale = received.len() - answered;
    let Ok(answer) = &tried.exchange.answer else {
        return Err(tried.finding(scene, running).await);
    };
    let id = match (answered, stale, answer.status) {
        (1, _, 200) if answer.text() == tried.exchange.request.target => return Ok(()),
        (0, 1.., status @ 500..) => not_saved(status),
        _ => return Err(tried.finding(scene, running).await),
    };
    let found = tried.exchange.found(scene, id);
    let expected = "the backend's answer, over a new connection";
    let actual = format!("{}, sent over the {how} connection only", answer.status);
    let found = found.compared(expected, actual).with("status", answer.status).with("how", how);
    // By hand the moment can't be met.
    Err(found.repeat(Vec::new()).fail())
}
