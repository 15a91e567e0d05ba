//! To verify a password takes a processor for long, on purpose. Meanwhile others are served.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::doors::Door;
use super::house::House;
use super::users::User;
use crate::judge::client::{Kept, Request};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::line;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Hashes of these costs are there, each of which takes twice as long as the one before.
const COSTS: std::ops::RangeInclusive<u32> = 4..=13;

/// One that takes so long is seen for sure, and does not take too long.
const SEEN: Duration = Duration::from_millis(120);

/// Where the most expensive takes less than this, nothing is hashed, and nothing can be seen.
const NOTHING: Duration = Duration::from_millis(40);

/// So many come at once: more than a program has threads for its requests, as a rule.
const LOGINS: usize = 4;

/// How often it may be that the machine and not the program was slow.
const ROUNDS: usize = 4;

/// Who waits for so many of ten parts of the time of one hash has waited for one.
const PARTS: u32 = 7;

/// While passwords are verified, somebody asks for what needs none, again and again.
pub async fn others_not_held_up(scene: &Scene) -> Outcome {
    let users: Vec<_> = COSTS.map(|cost| User::nobody(&scene.draw, cost)).collect();
    let house = House::start(scene, users).await?;
    let door = &house.doors.staff.door;
    let users = &house.doors.staff.users[1..];
    // How long the cheapest takes, at best, decides on which is taken.
    let cheap = login(&house, door, &users[0]).await?.min(login(&house, door, &users[0]).await?);
    let doublings = (0..users.len() - 1)
        .find(|doublings| cheap * (1 << doublings) >= SEEN)
        .unwrap_or(users.len() - 1);
    let user = &users[doublings];
    let alone = login(&house, door, user).await?.min(login(&house, door, user).await?);
    if alone < NOTHING {
        return Ok(());
    }
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        let (waited, request) = longest_beside_logins(&house, door, user).await?;
        if waited < alone * PARTS / 10 {
            return Ok(());
        }
        waits.push((waited, request));
    }
    let Some((waited, request)) = waits.into_iter().min_by_key(|(waited, _)| *waited) else {
        return Ok(());
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Err(crate::judge::diagnosis::Diagnosis::new("hashing-holds-up-others")
        .compared(
            "answers at once for whoever needs no password",
            format!("{} ms for one of them", ms(waited)),
        )
        .with("request", line(&request))
        .with("logins", LOGINS)
        .with("waited_ms", ms(waited))
        .with("hash_ms", ms(alone))
        .repeat(house.by_hand(&request))
        .timed()
        .fail())
}

/// The longest time that a request without a password took while several were verified.
async fn longest_beside_logins(
    house: &House<'_>,
    door: &Door,
    user: &User,
) -> Result<(Duration, Request), Finding> {
    let over = AtomicBool::new(false);
    let logins = async {
        let all = join_all((0..LOGINS).map(|_| login(house, door, user))).await;
        over.store(true, Relaxed);
        all.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let others = async {
        let mut client = Kept::new(house.running.client());
        let mut longest: Option<(Duration, Request)> = None;
        while !over.load(Relaxed) {
            let request = house.get_below(&house.doors.open);
            let sent = Instant::now();
            if let Err(trouble) = client.send(&request).await {
                return Err(house.running.trouble(&trouble, &request).await);
            }
            let took = sent.elapsed();
            if longest.as_ref().is_none_or(|(longest, _)| took > *longest) {
                longest = Some((took, request));
            }
        }
        Ok(longest.unwrap_or_else(|| (Duration::ZERO, house.get_below(&house.doors.open))))
    };
    let (logins, others) = futures_util::future::join(logins, others).await;
    logins?;
    others
}

/// How long a login takes that is of no use.
async fn login(house: &House<'_>, door: &Door, user: &User) -> Result<Duration, Finding> {
    let request = house.get_below(&door.prefix).header("Authorization", user.credential());
    let sent = Instant::now();
    match house.running.client().send(&request).await {
        Ok(_) => Ok(sent.elapsed()),
        Err(trouble) => Err(house.running.trouble(&trouble, &request).await),
    }
}
