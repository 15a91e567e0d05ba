//! Whoever comes to the port of TLS and does not speak it is soon gone, and holds up nobody.

use std::time::{Duration, Instant};

use super::setup::{Setup, curl, get};
use crate::judge::client::{Connection, Hello, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How soon a connection is to be ended that begins with plain HTTP.
const TO_END: Duration = Duration::from_millis(2500);

/// How many clients begin a handshake and do not go on, of each kind.
const SILENT: usize = 6;

/// How long others may then take to be served.
const OTHERS: Duration = Duration::from_millis(2500);

/// The beginning of a record with a ClientHello that is longer: who has it waits for the rest.
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];

/// Plain requests; then clients that say nothing, or half of something, beside one that goes on.
pub async fn plaintext(scene: &Scene) -> Outcome {
    let (setup, [name, _]) = Setup::with_two_names(scene).await?;
    for _ in 0..2 {
        plain_request(&setup, &name).await?;
    }
    let idle = silent(&setup).await?;
    // When the first of them is served, the silent ones have been accepted; who comes after
    // that comes behind them, in whatever order they were looked at.
    let served = match others(&setup, &name).await {
        Ok(()) => others(&setup, &name).await,
        held => held,
    };
    drop(idle);
    served
}

async fn plain_request(setup: &Setup<'_>, name: &str) -> Outcome {
    let request = get(name, &setup.scene.draw.path());
    let mut connection = connect(setup).await?.patience(TO_END);
    // Whoever has ended the connection meanwhile has done what is asked.
    let _ = connection.write(&request.to_bytes()).await;
    let ended = connection.end().await;
    let target = &request.target;
    let reached = setup.scene.recorder.read(|log| {
        log.requests().find(|one| one.target == *target).map(|one| one.backend.to_string())
    });
    let found = |id| {
        let show = curl("http", "/get", name).replace(":6188", ":6443");
        let show = show.replacen("curl", "curl --max-time 5", 1);
        let found = Diagnosis::new(id).with("request", format!("GET {target}"));
        found.repeat(setup.by_hand(&[&show]))
    };
    if let Some(backend) = reached {
        return Err(found("plaintext-served")
            .compared("no backend asked", &backend)
            .with("backend", backend)
            .fail());
    }
    if ended.is_none() {
        let seconds = format!("{:.1}", TO_END.as_secs_f64());
        return Err(found("plaintext-hangs")
            .compared("the end of the connection", format!("none within {seconds} s"))
            .with("seconds", seconds)
            .timed()
            .fail());
    }
    Ok(())
}

/// Clients that have begun and do not go on, for as long as they are kept.
async fn silent(setup: &Setup<'_>) -> Result<Vec<Connection>, Finding> {
    let mut all = Vec::new();
    for number in 0..2 * SILENT {
        let mut connection = connect(setup).await?;
        if number % 2 == 0 {
            let _ = connection.write(&HALF_A_HELLO).await;
        }
        all.push(connection);
    }
    Ok(all)
}

async fn others(setup: &Setup<'_>, name: &str) -> Outcome {
    let hello = Hello::to(name);
    let begun = Instant::now();
    let secured = setup.client().patience(OTHERS).secure(&hello).await;
    let held = |after: Duration| {
        let show = format!(
            "for i in 1 2 3 4 5 6; do sleep 30 | nc 127.0.0.1 6443 >/dev/null & done; sleep 1; {}",
            curl("https", "/get", name).replacen("curl", "curl --max-time 5", 1)
        );
        Diagnosis::new("handshake-holds-others")
            .compared("a handshake beside them", format!("none within {} ms", after.as_millis()))
            .with("silent", 2 * SILENT)
            .with("seconds", format!("{:.1}", after.as_secs_f64()))
            .repeat(setup.by_hand(&[&show]))
            .timed()
            .fail()
    };
    match secured {
        Ok(secured) => setup.serves(secured, name).await,
        Err(Trouble::NoTls(crate::judge::client::NoTls::PatienceOver(_)))
        | Err(Trouble::ConnectTimedOut { .. }) => Err(held(begun.elapsed())),
        Err(trouble) => Err(setup.no_tls(&trouble, &hello).await),
    }
}

async fn connect(setup: &Setup<'_>) -> Result<Connection, Finding> {
    let made = setup.client().connect().await;
    match made {
        Ok(connection) => Ok(connection),
        Err(trouble) => Err(setup.no_tls(&trouble, &Hello::to_nobody()).await),
    }
}
