//! A backend is gone: its keys move to the others, all others stay. It is back: its keys
//! come back to it.

use std::time::{Duration, Instant};

use super::keyed::{Homes, Keyed, Order};
use crate::backends::recording::RecordingBackend;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::looks::all_die;
use crate::judge::stages::own::listen;
use crate::judge::stages::turns::in_words;

/// How many backends there are.
const BACKENDS: usize = 5;

/// How many keys: each backend has 30 of them, and some would have to be moved by
/// whatever moves more than it must.
const KEYS: usize = 150;

/// Of the keys that move, as many as may come to the same backend: they are shared by
/// four, so that three quarters of 30 at one is chance once in 10^8 runs.
const ONE_HEIR: f64 = 0.75;

/// How long a backend may be back before it is used again.
const TO_COME_BACK: Duration = Duration::from_secs(4);

/// The pause between two looks at whether it is.
const PAUSE: Duration = Duration::from_millis(20);

/// The third backend, which goes and comes.
const THIRD: &str = "timeout 30 pingora-lab backends --ports 0,0,6193; sleep 30; \
     pingora-lab backends --ports 0,0,6193";

/// What shows it by hand: where the keys are while it is there, away, and there again.
const BY_HAND: &[&str] = &[
    "keys() { for i in $(seq 30); do curl -s -o /dev/null -D - -H \"{field}: user-$i\" 127.0.0.1:6188/get | grep -i -e '^http' -e x-lab-backend; done; }; keys >before.txt; sleep 30; keys >without.txt; sleep 30; keys >after.txt; diff -y before.txt without.txt; diff before.txt after.txt",
];

/// A pool, its keys, and the backend that goes.
struct Household<'a> {
    keyed: Keyed<'a>,
    running: Running<'a>,
    keys: Vec<String>,
    before: Homes,
    leaver: usize,
    interval: Duration,
}

/// Some keys, before and after.
pub async fn only_its_keys_move(scene: &Scene) -> Outcome {
    let household = Household::drawn(scene).await?;
    household.leaves(scene).await?;
    let after = household.homes_without().await?;
    let moved = household.before.moved(&after);
    let (its, others) = household.divided(&moved);
    let had = household.before.counts()[household.leaver];
    if !others.is_empty() {
        let stayed = KEYS - had;
        return Err(household
            .found("others-move-too")
            .compared(
                format!("none of the {stayed} keys of the others elsewhere"),
                format!("{} of them", others.len()),
            )
            .with("moved", others.len())
            .with("stay", stayed)
            .with("percent", others.len() * 100 / stayed.max(1))
            .fail());
    }
    let heirs = Homes { backends: BACKENDS, of: its.iter().map(|key| after.of[*key]).collect() };
    let counts = heirs.counts();
    let most = counts.iter().copied().max().unwrap_or(0);
    if most as f64 > its.len() as f64 * ONE_HEIR {
        return Err(household
            .found("one-heir")
            .compared("its keys shared by the others", in_words(&counts))
            .with("had", had)
            .with("got", most)
            .fail());
    }
    Ok(())
}

/// Some keys, before, meanwhile and afterwards.
pub async fn keys_return(scene: &Scene) -> Outcome {
    let household = Household::drawn(scene).await?;
    household.leaves(scene).await?;
    // Whoever remembers where a key went remembers another backend now.
    household.homes_without().await?;
    listen(scene, household.backend())?;
    household.is_used_again().await?;
    let after = household.homes().await.map_err(|(_, finding)| finding)?;
    let moved = household.before.moved(&after);
    if moved.is_empty() {
        return Ok(());
    }
    let (its, others) = household.divided(&moved);
    let id = if others.is_empty() { "keys-stay-away" } else { "other-homes-after-return" };
    Err(household
        .found(id)
        .compared(
            format!("all {KEYS} keys at home"),
            format!("{} of its own and {} of the others' elsewhere", its.len(), others.len()),
        )
        .with("had", household.before.counts()[household.leaver])
        .with("away", its.len())
        .with("moved", others.len())
        .fail())
}

// === impl Household ===

impl<'a> Household<'a> {
    async fn drawn(scene: &'a Scene) -> Result<Self, Finding> {
        let interval = Duration::from_millis(scene.draw.number(110..190));
        let mut keyed = Keyed::drawn(scene, BACKENDS, Some(interval))?;
        // Not the last of them goes, in the file or by address: whoever counts places has
        // the same places without the last.
        keyed.backends.sort_by_key(RecordingBackend::address);
        let running = keyed.start(Order::First).await?;
        let keys = keyed.keys(KEYS);
        let leaver = *scene.draw.pick(&(0..BACKENDS - 1).collect::<Vec<_>>());
        scene.plan(format!("{KEYS} keys; number {} by address goes", leaver + 1));
        let before = keyed.homes(&running, &keys).await.map_err(|(_, finding)| finding)?;
        Ok(Self { keyed, running, keys, before, leaver, interval })
    }

    fn backend(&self) -> &RecordingBackend {
        &self.keyed.backends[self.leaver]
    }

    /// It refuses from now on; returns once that should be known.
    async fn leaves(&self, scene: &Scene) -> Outcome {
        let gone = self.backend();
        let others: Vec<_> =
            self.keyed.backends.iter().filter(|one| one.name() != gone.name()).collect();
        all_die(scene, &[gone], &others, self.interval).await?;
        Ok(())
    }

    async fn homes(&self) -> Result<Homes, (String, Finding)> {
        self.keyed.homes(&self.running, &self.keys).await
    }

    /// The same while the leaver is away.
    async fn homes_without(&self) -> Result<Homes, Finding> {
        self.homes().await.map_err(|(key, finding)| match finding.diagnosis().id {
            "backend-never-tried" => finding.map(|found| {
                let status = found.evidence.get("status").cloned().unwrap_or_default();
                let by_hand = self.found("keys-lost").repeat;
                found
                    .renamed("keys-lost")
                    .with("field", &*self.keyed.field)
                    .with("gone", self.backend().name())
                    .with("key", key)
                    .with("status", status)
                    .repeat(by_hand)
            }),
            _ => finding,
        })
    }

    /// Waits until it gets a request. Its keys come, and new ones: whoever remembers
    /// homes has none for those.
    async fn is_used_again(&self) -> Outcome {
        let back = Instant::now();
        let its = (0..KEYS).filter(|key| self.before.of[*key] == self.leaver);
        let mut its = its.map(|key| self.keys[key].clone()).cycle();
        let mut number = 0;
        loop {
            number += 1;
            for key in its.next().into_iter().chain([format!("new-{number}")]) {
                let places = self.keyed.homes(&self.running, &[key]).await;
                if places.map_err(|(_, finding)| finding)?.of == [self.leaver] {
                    return Ok(());
                }
            }
            if back.elapsed() > TO_COME_BACK {
                let seconds = back.elapsed().as_secs();
                return Err(self
                    .found("never-comes-back")
                    .compared("a request at it", format!("none within {seconds} s of its return"))
                    .with("seconds", seconds)
                    .timed()
                    .fail());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Keys that were the leaver's, and the others'.
    fn divided(&self, keys: &[usize]) -> (Vec<usize>, Vec<usize>) {
        keys.iter().partition(|key| self.before.of[**key] == self.leaver)
    }

    fn found(&self, id: &'static str) -> Diagnosis {
        let had = self.before.counts()[self.leaver];
        let found = self.keyed.found(id, BY_HAND);
        let third = |command: &String| command.replace("127.0.0.1:6192", "127.0.0.1:6193");
        let mut commands: Vec<_> = found.repeat.iter().map(third).collect();
        commands.insert(1, THIRD.to_owned());
        found
            .repeat(commands)
            .with("gone", self.backend().name())
            .with("keys", KEYS)
            .with("had", had)
    }
}
