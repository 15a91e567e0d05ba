//! To verify a password takes a processor for long, on purpose. Meanwhile others are served.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use super::doors::Door;
use super::house::House;
use super::users::User;
use crate::judge::client::{Kept, Request, Trouble};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::line;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// Hashes of these costs are there, each of which takes twice as long as the one before.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// One that takes so long is seen for sure, and does not take too long.
const SEEN: Duration = Duration::from_millis(80);

/// Where a hash that should be seen takes less than this, nothing is hashed.
const NOTHING: Duration = Duration::from_millis(30);

/// So many logins come at once: first more than a program has threads for its requests, as a
/// rule; then fewer, whose hashes take twice, four and eight times as long. On a busy machine
/// everybody waits now and then, but for no longer if the hashes take longer.
const ROUNDS: [usize; 4] = [4, 2, 2, 2];

/// Who waits for so many of ten parts of the time of one hash has waited for one.
const PARTS: u32 = 7;

/// While passwords are verified, somebody asks for what needs none, again and again.
pub async fn others_not_held_up(scene: &Scene) -> Outcome {
    let users: Vec<_> = COSTS.map(|cost| User::nobody(&scene.draw, cost)).collect();
    let house = House::start(scene, users).await?;
    let door = &house.doors.staff.door;
    let users = &house.doors.staff.users[1..];
    // How long the cheapest takes, at best, says which is to be looked at first.
    let last = users.len() - ROUNDS.len();
    let cheap = quickest(&house, door, &users[0]).await?;
    let mut first = (0..last).find(|doublings| cheap * (1 << doublings) >= SEEN).unwrap_or(last);
    // On a busy machine the cheapest may have taken its time for another reason.
    let mut alone = quickest(&house, door, &users[first]).await?;
    while first < last && alone < SEEN {
        first += 1;
        alone = quickest(&house, door, &users[first]).await?;
    }
    // Beside others, a login that needs no hash may take its time too.
    if alone < NOTHING {
        return Ok(());
    }
    let mut found = None;
    for (logins, user) in ROUNDS.into_iter().zip(&users[first..]) {
        let beside = Beside::of(&house, door, user, logins).await?;
        if beside.hash < NOTHING || beside.waited < beside.hash * PARTS / 10 {
            return Ok(());
        }
        found = Some((logins, beside));
    }
    let Some((logins, Beside { hash, waited, request })) = found else { return Ok(()) };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Err(Diagnosis::new("hashing-holds-up-others")
        .compared(
            "answers at once for whoever needs no password",
            format!("{} ms for one of them", ms(waited)),
        )
        .with("request", line(&request))
        .with("logins", logins)
        .with("waited_ms", ms(waited))
        .with("hash_ms", ms(hash))
        .repeat(by_hand(&house, &users[first + ROUNDS.len() - 1], &request))
        .timed()
        .fail())
}

/// Some log in, and one asks for what needs no password.
fn by_hand(house: &House<'_>, user: &User, request: &Request) -> Vec<String> {
    let mut commands = house.doors.by_hand(house.scene.stage());
    commands.push(format!(
        "for i in 1 2 3 4; do curl -s -o /dev/null -u {}:x http://127.0.0.1:6188{}/x & done; sleep 0.1; curl -s -o /dev/null -w '%{{time_total}} s\\n' http://127.0.0.1:6188{}; wait",
        user.name, house.doors.staff.door.prefix, request.target
    ));
    commands
}

/// What came of a request beside logins.
struct Beside {
    /// How long the quickest of the logins took: on a machine that is as busy for both, one hash.
    hash: Duration,
    /// The longest time that a request without a password took meanwhile.
    waited: Duration,
    request: Request,
}

impl Beside {
    async fn of(
        house: &House<'_>,
        door: &Door,
        user: &User,
        logins: usize,
    ) -> Result<Self, Finding> {
        let over = AtomicBool::new(false);
        let logins = async {
            let all = join_all((0..logins).map(|_| login(house, door, user))).await;
            over.store(true, Relaxed);
            all.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let others = async {
            let mut client = Kept::new(house.running.client());
            let mut longest = (Duration::ZERO, house.get_below(&house.doors.open));
            while !over.load(Relaxed) {
                let request = house.get_below(&house.doors.open);
                let sent = Instant::now();
                let took = match client.send(&request).await {
                    Ok(_) | Err(Trouble::NoAnswer { .. }) => sent.elapsed(),
                    Err(trouble) => return Err(house.running.trouble(&trouble, &request).await),
                };
                if took > longest.0 {
                    longest = (took, request);
                }
            }
            Ok(longest)
        };
        let (logins, others) = join(logins, others).await;
        let (hash, (waited, request)) = (logins?.into_iter().min().unwrap_or_default(), others?);
        Ok(Self { hash, waited, request })
    }
}

/// How long a login takes that is of no use, at best.
async fn quickest(house: &House<'_>, door: &Door, user: &User) -> Result<Duration, Finding> {
    let one = login(house, door, user).await?;
    Ok(one.min(login(house, door, user).await?))
}

/// How long it takes once.
async fn login(house: &House<'_>, door: &Door, user: &User) -> Result<Duration, Finding> {
    let request = house.get_below(&door.prefix).header("Authorization", user.credential());
    let sent = Instant::now();
    match house.running.client().send(&request).await {
        // On a machine with much else to do, nobody waits for the last of a row of hashes.
        Ok(_) | Err(Trouble::NoAnswer { .. }) => Ok(sent.elapsed()),
        Err(trouble) => Err(house.running.trouble(&trouble, &request).await),
    }
}
