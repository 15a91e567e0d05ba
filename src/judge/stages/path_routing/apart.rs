//! Each pool stands for itself: it takes its own turns, bears its own failures, and
//! is looked at as a whole.

use std::time::{Duration, Instant};

use super::ID;
use super::pools::{Pool, Pools};
use crate::backends::recording::{Act, RecordingBackend};
use crate::judge::client::Request;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::looks::Looks;
use crate::judge::stages::own::{Own, Tried, echo, listen, refuse};
use crate::judge::stages::turns::{self, Spread, Turns};

/// How many requests each pool gets: whole rounds for two backends and for three.
const REQUESTS: usize = 12;

/// How often each backend must be looked at.
const LOOKS: usize = 5;

/// How much longer than its intervals that may take: less than a program with
/// checks of a second needs, and more than a busy machine takes for some
/// connections. It counts as a finding that rests on time.
const SLACK: Duration = Duration::from_millis(2300);

/// How long backends may be back before they are used again.
const TO_COME_BACK: Duration = Duration::from_secs(3);

/// The pause between two requests that wait for a change.
const PAUSE: Duration = Duration::from_millis(20);

/// Requests to all pools in a mixed order: within each, everyone in turn.
pub async fn own_turns(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [3, 2, 2, 3]).await?;
    let mut order = Pool::ALL.repeat(REQUESTS);
    scene.draw.shuffle(&mut order);
    let mut turns = Pool::ALL.map(|pool| Turns {
        backends: pools.backends(pool).len(),
        order: Vec::with_capacity(REQUESTS),
    });
    for pool in order {
        let exchange = pools.send(pools.request(pool)).await;
        turns[pool as usize].order.push(turn(&pools, pool, &exchange).await?);
    }
    for pool in Pool::ALL {
        let turns = &turns[pool as usize];
        let id = match turns.spread() {
            Spread::Exact => continue,
            Spread::OnlyOne(_) => "pool-uses-one",
            _ if alone(&pools, pool).await?.spread() == Spread::Exact => "turns-shared",
            _ => "pool-uneven",
        };
        let share = vec![REQUESTS / turns.backends; turns.backends];
        let found = about(&pools, id, pool);
        let found = if id == "turns-shared" { with_others(&pools, pool, found) } else { found };
        return Err(found
            .compared(turns::in_words(&share), turns.shares())
            .with("order", turns.beginning())
            .with("backends", turns.backends)
            .with("requests", REQUESTS)
            .fail());
    }
    Ok(())
}

/// The backend of the pool, from 1, that a request went to.
async fn turn(pools: &Pools<'_>, pool: Pool, exchange: &Exchange) -> Result<usize, Finding> {
    let (reached, received) = pools.reached(exchange, pool).await?;
    if reached != pool {
        return Err(pools.went_wrong(exchange, "wrong-pool", pool, reached));
    }
    let place = pools.backends(pool).iter().position(|one| one.name() == &*received.backend);
    let place = place.ok_or_else(|| pools.scene.our_error("no such backend", &received.backend))?;
    Ok(place + 1)
}

/// The turns of the pool while no other is asked.
async fn alone(pools: &Pools<'_>, pool: Pool) -> Result<Turns, Finding> {
    let mut turns = Turns { backends: pools.backends(pool).len(), order: Vec::new() };
    for _ in 0..REQUESTS {
        let exchange = Exchange::of(pools.scene, pools.running.client(), again(pools, pool)).await;
        turns.order.push(turn(pools, pool, &exchange).await?);
    }
    Ok(turns)
}

/// A GET that is the pool's and is not drawn: of such there are more or less, as
/// things go, and the draws behind them must not move.
fn again(pools: &Pools<'_>, pool: Pool) -> Request {
    let number = pools.scene.recorder.read(|log| log.entries().len());
    pools.get(format!("{}/again/{number}", pool.prefix())).for_host(pools.host_of(pool))
}

/// One pool after the other fails: one backend of it is down, then the whole pool, then none.
/// It saves what it can by itself, and no other notices anything. All of them: whoever falls back
/// to one pool is found out at any other.
pub async fn own_failures(scene: &Scene) -> Outcome {
    let pools = Pools::start(scene, [2; 4]).await?;
    pools.all().for_each(|backend| echo(std::slice::from_ref(backend)));
    let (mut order, refusing) = (Pool::ALL, *scene.draw.pick(&[0, 1]));
    scene.draw.shuffle(&mut order);
    // All drawn before: how far it comes may differ from run to run.
    let deaths = order.map(|pool| Death::drawn(&pools, pool, refusing));
    let last = order[order.len() - 1];
    let failed = own(&pools, last, "POST");
    for death in deaths {
        death.comes(&pools).await?;
    }
    post_once(&pools, last, failed).await
}

/// A pool that is to fail, and the requests meanwhile.
struct Death {
    pool: Pool,
    /// The place of the backend with which it begins.
    refusing: usize,
    one_down: [Own; 6],
    all_down: [Own; 3],
    others: Vec<(Pool, Own)>,
}

impl Death {
    fn drawn(pools: &Pools<'_>, pool: Pool, refusing: usize) -> Self {
        let name = pools.backends(pool)[refusing].name();
        pools.scene.plan(format!("{name} refuses, then all of {pool}, then none"));
        let own = |method| own(pools, pool, method);
        let others = Pool::ALL.into_iter().filter(|other| *other != pool);
        Self {
            pool,
            refusing,
            one_down: ["GET", "POST", "GET", "POST", "PUT", "POST"].map(own),
            all_down: ["GET", "POST", "GET"].map(own),
            others: others.map(|other| (other, self::own(pools, other, "GET"))).collect(),
        }
    }

    async fn comes(self, pools: &Pools<'_>) -> Outcome {
        let Self { pool, refusing, one_down, all_down, others } = self;
        let (scene, backends) = (pools.scene, pools.backends(pool));
        refuse(scene, &backends[refusing])?;
        for own in one_down {
            serves(pools, pool, pool, own, "pool-not-retried").await?;
        }
        backends.iter().try_for_each(|backend| refuse(scene, backend))?;
        for own in all_down {
            is_down(pools, pool, own).await?;
        }
        for (other, own) in others {
            serves(pools, pool, other, own, "others-fail-too").await?;
        }
        backends.iter().try_for_each(|backend| listen(scene, backend))?;
        comes_back(pools, pool).await
    }
}

/// A request to the pool, with a body where the method usually has one.
fn own(pools: &Pools<'_>, pool: Pool, method: &str) -> Own {
    let own = Own::drawn_to(pools.scene, &pools.running, method, pools.target(pool));
    own.for_host(pools.host_of(pool))
}

/// One of the pool's backends serves a request, while those of this or another one are down.
async fn serves(pools: &Pools<'_>, down: Pool, pool: Pool, own: Own, id: &'static str) -> Outcome {
    let tried = own.send(pools.scene, pools.running.client()).await;
    stays(pools, pool, &tried)?;
    if tried.served() {
        return Ok(());
    }
    let finding = tried.finding(pools.scene, &pools.running).await;
    if finding.diagnosis().id != "backend-never-tried" {
        return Err(finding);
    }
    Err(finding.map(|found| failing(pools, found.renamed(id), down, pool)))
}

/// Whatever received the request is of its pool.
fn stays(pools: &Pools<'_>, pool: Pool, tried: &Tried) -> Outcome {
    let own = |name: &str| pools.backends(pool).iter().any(|backend| backend.name() == name);
    match tried.exchange.received.iter().find(|one| !own(&one.backend)) {
        None => Ok(()),
        Some(stray) => {
            let found = pools.found(&tried.exchange, "falls-to-another-pool", pool);
            let found = found.compared(format!("only the pool {pool}"), &*stray.backend);
            Err(failing(pools, found, pool, pool).with("backend", &*stray.backend).fail())
        }
    }
}

/// The whole pool refuses: 503, and nobody else is asked.
async fn is_down(pools: &Pools<'_>, pool: Pool, own: Own) -> Outcome {
    let tried = own.send(pools.scene, pools.running.client()).await;
    stays(pools, pool, &tried)?;
    match &tried.exchange.answer {
        Ok(answer) if answer.status == 503 => Ok(()),
        Ok(answer) if answer.status >= 500 => {
            let found = pools.found(&tried.exchange, "pool-down-not-503", pool);
            let found = found.compared(503, answer.status).with("status", answer.status);
            Err(failing(pools, found, pool, pool).fail())
        }
        _ => Err(tried.finding(pools.scene, &pools.running).await),
    }
}

/// The pool is used again, though nobody has looked at it since.
async fn comes_back(pools: &Pools<'_>, pool: Pool) -> Outcome {
    let back = Instant::now();
    loop {
        let request = again(pools, pool);
        let tried = Own::of(request).send(pools.scene, pools.running.client()).await;
        stays(pools, pool, &tried)?;
        if tried.served() {
            return Ok(());
        }
        if back.elapsed() > TO_COME_BACK {
            let finding = tried.finding(pools.scene, &pools.running).await;
            return Err(finding.map(|found| {
                let found =
                    found.renamed("pool-stays-down").with("seconds", TO_COME_BACK.as_secs());
                failing(pools, found, pool, pool).timed()
            }));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A POST that a backend of the pool has read and failed is not sent again, inside
/// the pool or outside.
async fn post_once(pools: &Pools<'_>, pool: Pool, own: Own) -> Outcome {
    for backend in pools.backends(pool) {
        backend.always(Act::ResetBeforeAnswer);
    }
    let tried = own.send(pools.scene, pools.running.client()).await;
    stays(pools, pool, &tried)?;
    let times = tried.exchange.received.len();
    match &tried.exchange.answer {
        _ if times > 1 => {
            let found = pools.found(&tried.exchange, "post-replayed", pool);
            Err(found
                .compared("sent once, then 502", format!("sent {times} times"))
                .with("times", times)
                .repeat(replayed(pools, pool))
                .fail())
        }
        Ok(answer) if times == 1 && matches!(answer.status, 502..=504) => Ok(()),
        _ => Err(tried.finding(pools.scene, &pools.running).await),
    }
}

/// Every backend of every pool is looked at again and again.
pub async fn own_checks(scene: &Scene) -> Outcome {
    let interval = Duration::from_millis(scene.draw.number(110..190));
    let pools = Pools::start_with(scene, [2, 1, 2, 1], interval).await?;
    let begun = Instant::now();
    let deadline = begun + interval * u32::try_from(LOOKS).unwrap_or(1) + SLACK;
    let all: Vec<_> = pools.all().collect();
    let looks = Looks::wait(scene, &all, 0, LOOKS, deadline).await;
    let seconds = format!("{:.1}", begun.elapsed().as_secs_f64());
    let least = |pool: Pool| least_of(&pools, &looks, &all, pool);
    let Some(pool) = Pool::ALL.into_iter().min_by_key(|pool| least(*pool)) else { return Ok(()) };
    let id = match (looks.fewest(), looks.most()) {
        (LOOKS.., _) => return Ok(()),
        (_, 0) => "health-check-never-runs",
        // Looked at once at the start, or never.
        (0 | 1, LOOKS..) => "pool-not-checked",
        _ => "interval-ignored",
    };
    let expected = format!("each backend looked at every {} ms", interval.as_millis());
    let seen = Pool::ALL.map(|pool| format!("{pool}: {}", least(pool))).join(", ");
    Err(about(&pools, id, pool)
        .compared(expected, format!("{seen} in {seconds} s"))
        .with("interval_ms", u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
        .with("seconds", seconds)
        .repeat(vec![
            "nc -lkv 127.0.0.1 6193".to_owned(),
            format!(
                "{}=127.0.0.1:6193 LAB_HEALTH_INTERVAL_MS=200 pingora-lab run {ID}",
                pool.variable()
            ),
        ])
        .timed()
        .fail())
}

/// How often the least of the pool's backends was looked at.
fn least_of(pools: &Pools<'_>, looks: &Looks, all: &[&RecordingBackend], pool: Pool) -> usize {
    let own = |name: &str| pools.backends(pool).iter().any(|backend| backend.name() == name);
    let counts = all.iter().zip(looks.counts()).filter(|(backend, _)| own(backend.name()));
    counts.map(|(_, count)| count).min().unwrap_or(0)
}

/// A diagnosis about a pool and no single request.
fn about(pools: &Pools<'_>, id: &'static str, pool: Pool) -> Diagnosis {
    let target = format!("{}/x", pool.prefix());
    let host = pools.host_of(pool).map_or(String::new(), |host| format!("--host {host} "));
    let run = format!("LAB_ADMIN_HOST={} pingora-lab run {ID}", pools.host);
    Diagnosis::new(id).with("pool", pool.to_string()).with("variable", pool.variable()).repeat(
        vec![
            "pingora-lab backends".to_owned(),
            format!("{}=127.0.0.1:6190,127.0.0.1:6191 {run}", pool.variable()),
            format!("pingora-lab probe --count 6 {host}http://127.0.0.1:6188{target}"),
        ],
    )
}

/// The same with a request to another pool behind each.
fn with_others(pools: &Pools<'_>, pool: Pool, found: Diagnosis) -> Diagnosis {
    let other = if pool == Pool::Api { Pool::Static } else { Pool::Api };
    let mut commands = found.repeat.clone();
    commands.pop();
    commands.push(format!(
        "for i in 1 2 3 4 5 6; do {} -D - -o /dev/null | grep -i x-lab-backend; {} -o /dev/null; done",
        curl(pools, pool, "-s"),
        curl(pools, other, "-s"),
    ));
    found.repeat(commands)
}

/// A request to this pool.
fn curl(pools: &Pools<'_>, pool: Pool, flags: &str) -> String {
    let host = pools.host_of(pool).map_or(String::new(), |host| format!("-H 'Host: {host}' "));
    format!("curl {flags} {host}http://127.0.0.1:6188{}/x", pool.prefix())
}

/// The same finding with what is needed to see by hand how the backends of one pool die, which
/// its health checks do not see, and what comes of a request to the one that is asked.
fn failing(pools: &Pools<'_>, found: Diagnosis, down: Pool, asked: Pool) -> Diagnosis {
    const BOTH: (&str, &str) = ("6193,6194,0", "127.0.0.1:6193,127.0.0.1:6194");
    let (curl, run) = (curl(pools, asked, "-i"), format!("pingora-lab run {ID}"));
    let ((ports, list), again, then) = match found.id {
        // The first of the two lives on.
        "pool-not-retried" => {
            (("6193,0,0", "127.0.0.1:6190,127.0.0.1:6193"), false, format!("{curl}; {curl}"))
        }
        "pool-stays-down" => (BOTH, true, format!("{curl}; sleep 30; {curl}")),
        _ => (BOTH, false, curl),
    };
    let backends = format!("pingora-lab backends --ports {ports}");
    let back = if again { format!("; sleep 20; {backends}") } else { String::new() };
    found.with("pool", asked.to_string()).with("variable", asked.variable()).repeat(vec![
        "pingora-lab backends".to_owned(),
        format!("timeout 20 {backends}{back}"),
        format!(
            "LAB_ADMIN_HOST={} LAB_HEALTH_INTERVAL_MS=60000 {}={list} {run}",
            pools.host,
            down.variable()
        ),
        format!("sleep 20; {then}"),
    ])
}

/// Who listens reads the request and is gone before it answers.
fn replayed(pools: &Pools<'_>, pool: Pool) -> Vec<String> {
    vec![
        "timeout 20 nc -lk 127.0.0.1 6195".to_owned(),
        "timeout 40 nc -lk 127.0.0.1 6196".to_owned(),
        format!(
            "LAB_ADMIN_HOST={} LAB_HEALTH_INTERVAL_MS=60000 {}=127.0.0.1:6195,127.0.0.1:6196 \
             pingora-lab run {ID}",
            pools.host,
            pool.variable()
        ),
        curl(pools, pool, "-i --data hello"),
    ]
}
