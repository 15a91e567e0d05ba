//! Backends that refuse connections, which their health checks have not seen:
//! only another try saves the request.

use super::{dying_backend, start_unaware};
use crate::backends::recording::Act;
use crate::judge::client::Trouble;
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::own::{Own, Tried, at_once, echo, listen, one_by_one, refuse};

/// One of three refuses: 60 of 60 are served, half of them one by one, half at once.
pub async fn one_refuses(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    echo(&backends);
    let refusing = scene.draw.pick(&backends);
    scene.plan(format!("{} refuses", refusing.name()));
    refuse(scene, refusing)?;
    serves(scene, &running, 30, 1).await
}

/// Two of three refuse: the third gets each request once. Then all are well: each
/// request still goes to one backend once. And a backend that fails after it has
/// read a GET may cost a try, which must not go to the same backend.
pub async fn tried_once(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    echo(&backends);
    let well = usize::try_from(scene.draw.number(0..3)).unwrap_or(0);
    scene.plan(format!("all but {} refuse", backends[well].name()));
    let others = || backends.iter().enumerate().filter(|(index, _)| *index != well);
    others().try_for_each(|(_, backend)| refuse(scene, backend))?;
    serves(scene, &running, 12, 2).await?;
    others().try_for_each(|(_, backend)| listen(scene, backend))?;
    serves(scene, &running, 6, 0).await?;

    // No connection of another request may be left over: that such a one has
    // ended is no failure of the backend, which may then be asked again.
    let backends = scene.backends(3)?;
    let running = start_unaware(scene, &backends).await?;
    backends.iter().for_each(|backend| backend.always(Act::ResetBeforeAnswer));
    for _ in 0..4 {
        let tried = Own::drawn(scene, &running, "GET").send(scene, running.client()).await;
        no_backend_twice(scene, &running, &tried).await?;
    }
    Ok(())
}

/// So many requests one by one, and as many at once; all must be served.
async fn serves(scene: &Scene, running: &Running<'_>, count: usize, refusing: u64) -> Outcome {
    let draw = &scene.draw;
    let mut methods = ["GET", "POST", "GET", "POST", "PUT", "POST"].repeat(count.div_ceil(6));
    methods.truncate(count);
    let requests = || {
        let mut methods = methods.clone();
        draw.shuffle(&mut methods);
        methods.iter().map(|method| Own::drawn(scene, running, method)).collect::<Vec<_>>()
    };
    let mut tried = one_by_one(scene, running, requests()).await;
    // If nothing is served at all, more of it tells nothing more.
    if tried.len() == count && tried.iter().any(Tried::served) {
        tried.extend(at_once(scene, running, requests()).await);
    }
    all_served(scene, running, &tried, 2 * count, refusing).await
}

async fn all_served(
    scene: &Scene,
    running: &Running<'_>,
    tried: &[Tried],
    planned: usize,
    refusing: u64,
) -> Outcome {
    let failed: Vec<_> = tried.iter().filter(|one| !one.served()).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let finding = first.finding(scene, running).await;
    let status = first.exchange.answer.as_ref().map_or(0, |answer| answer.status);
    let cut_off = |one: &Tried| {
        one.reached_nobody()
            && matches!(one.exchange.answer, Err(Trouble::EmptyReply | Trouble::Reset))
    };
    let safe = |one: &Tried| one.exchange.request.method != "POST";
    let id = match finding.diagnosis().id {
        // All are well: this is no matter of retries.
        _ if refusing == 0 => return Err(finding),
        "empty-reply" | "connection-reset" if tried.iter().all(cut_off) => "upstream-never-tried",
        "no-answer" if first.reached_nobody() => "retries-without-end",
        "backend-never-tried" if status == 503 => "gives-up-too-soon",
        "backend-never-tried" if !failed.iter().any(|one| safe(one)) => "refused-post-not-retried",
        "backend-never-tried" if refusing > 1 => "retries-too-few",
        "backend-never-tried" => "refused-not-retried",
        _ => return Err(finding),
    };
    let served = tried.len() - failed.len();
    let (of, refused) = (tried.len(), refusing);
    Err(finding.map(|found| {
        found
            .renamed(id)
            .compared(
                format!("{planned} of {planned} requests answered by a backend"),
                format!("{served} of {of}"),
            )
            .with("served", served)
            .with("failed", failed.len())
            .with("of", of)
            .with("refusing", refused)
            .with("status", status)
            .repeat(by_hand(&first.exchange.request.method))
    }))
}

fn by_hand(method: &str) -> Vec<String> {
    let client = "pingora-lab probe --duration 40s --rate 5 --fail";
    dying_backend(&if method == "GET" {
        format!("{client} http://127.0.0.1:6188/get")
    } else {
        format!("{client} --data hello http://127.0.0.1:6188/post")
    })
}

/// A GET that every backend reads and then fails: it may have been tried at each
/// of them, but not twice at one, and the client is told of the failure.
async fn no_backend_twice(scene: &Scene, running: &Running<'_>, tried: &Tried) -> Outcome {
    let received = &tried.exchange.received;
    for one in received {
        let times = received.iter().filter(|other| other.backend == one.backend).count();
        if times > 1 {
            return Err(again(scene, tried, &one.backend, times));
        }
    }
    match &tried.exchange.answer {
        Ok(answer) if answer.status >= 500 && !received.is_empty() => Ok(()),
        Ok(_) => Err(tried.finding(scene, running).await),
        Err(trouble) => Err(running.trouble(trouble, &tried.exchange.request).await),
    }
}

fn again(scene: &Scene, tried: &Tried, backend: &str, times: usize) -> Finding {
    tried
        .exchange
        .found(scene, "same-backend-again")
        .compared(format!("at most once to {backend}"), format!("{times} times"))
        .with("backend", backend)
        .with("times", times)
        .fail()
}
