//! A pool whose backends are chosen by a header field, and the homes of keys in it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future;
use toml::Value;

use super::ID;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::{Answer, Kept, Request, Trouble};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// Over how many connections many requests go.
const CONNECTIONS: usize = 12;

/// A file with one pool, and what stands around it.
pub struct Keyed<'a> {
    scene: &'a Scene,
    /// The backends, in the order in which places are counted.
    pub backends: Vec<RecordingBackend>,
    /// The header field whose value is the key.
    pub field: String,
    pool: String,
    interval: Option<Duration>,
    /// How many requests were sent for which nothing is drawn.
    sent: AtomicUsize,
}

/// In which order the file names the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of [`Keyed::backends`].
    First,
    /// The other way round.
    Reversed,
}

/// Keys, and the places of their backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Homes {
    /// How many backends there are.
    pub backends: usize,
    /// For each key the place of its backend.
    pub of: Vec<usize>,
}

// === impl Keyed ===

impl<'a> Keyed<'a> {
    /// A pool of so many backends, and a header field that nobody has written into a
    /// program.
    ///
    /// # Errors
    ///
    /// The machine has no port for a backend, which is inconclusive.
    pub fn drawn(
        scene: &'a Scene,
        count: usize,
        interval: Option<Duration>,
    ) -> Result<Self, Finding> {
        let (pool, field) = (scene.draw.word(), format!("x-{}", scene.draw.word()));
        let backends = scene.backends_named(&pool, count)?;
        // The answer says who gave it, under a name that is drawn.
        for backend in &backends {
            backend.always(Act::Answer(Reply::ok(backend.name().to_owned())));
        }
        scene.plan(format!("{pool} with {count} backends, by {field}, looks every {interval:?}"));
        Ok(Self { scene, backends, field, pool, interval, sent: AtomicUsize::new(0) })
    }

    /// Starts the program, with the backends in this order.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(&self, order: Order) -> Result<Running<'a>, Finding> {
        let file = |listen| self.file(listen, order, self.addresses());
        self.scene.start_configured(&[], &[], &file).await
    }

    /// So many keys, no two of them the same.
    pub fn keys(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{}-{number}", self.scene.draw.word())).collect()
    }

    /// A GET with this key.
    pub fn request(&self, running: &Running<'_>, key: &str) -> Request {
        running.request("GET", self.scene.draw.path()).header(&self.field, key)
    }

    /// Sends a request, while no other is under way; the place of the backend that
    /// received it.
    ///
    /// # Errors
    ///
    /// It went to none, or did not come back.
    pub async fn place(
        &self,
        running: &Running<'_>,
        exchange: &Exchange,
    ) -> Result<usize, Finding> {
        let (received, answer) = exchange.through(self.scene, running).await?;
        if answer.status != 200 {
            let found = exchange.found(self.scene, "status-changed");
            return Err(found.compared(200, answer.status).fail());
        }
        let place = self.backends.iter().position(|one| one.name() == &*received.backend);
        place.ok_or_else(|| self.scene.our_error("no such backend", &received.backend))
    }

    /// Where each of these keys is at home. Many requests at a time, of which only the
    /// answers are looked at. Nothing is drawn: of some there are more or less, as time
    /// goes.
    ///
    /// # Errors
    ///
    /// One was not answered by a backend, with its key.
    pub async fn homes(
        &self,
        running: &Running<'_>,
        keys: &[String],
    ) -> Result<Homes, (String, Finding)> {
        let share = keys.len().div_ceil(CONNECTIONS).max(1);
        let request = |key: &String| {
            let target = format!("/anything/{}", self.sent.fetch_add(1, Relaxed));
            (key.clone(), running.request("GET", target).header(&self.field, key))
        };
        let requests = |keys: &[String]| keys.iter().map(request).collect::<Vec<_>>();
        let shares: Vec<_> = keys.chunks(share).map(requests).collect();
        let sent = shares.into_iter().map(|share| self.one_after_another(running, share));
        let of = future::try_join_all(sent).await?.concat();
        Ok(Homes { backends: self.backends.len(), of })
    }

    async fn one_after_another(
        &self,
        running: &Running<'_>,
        requests: Vec<(String, Request)>,
    ) -> Result<Vec<usize>, (String, Finding)> {
        let mut kept = Kept::new(running.client());
        let mut places = Vec::new();
        for (key, request) in requests {
            let answer = kept.send(&request).await;
            let place = self.answered_by(running, request, answer).await;
            places.push(place.map_err(|finding| (key, finding))?);
        }
        Ok(places)
    }

    async fn answered_by(
        &self,
        running: &Running<'_>,
        request: Request,
        answer: Result<Answer, Trouble>,
    ) -> Result<usize, Finding> {
        let name = answer.as_ref().map_or_else(|_| String::new(), Answer::text);
        if let Some(place) = self.backends.iter().position(|one| one.name() == name) {
            return Ok(place);
        }
        let received = self.scene.recorder.read(|log| {
            log.requests().filter(|one| one.target == request.target).cloned().collect()
        });
        let exchange = Exchange { request, received, answer };
        match exchange.through(self.scene, running).await {
            Err(finding) => Err(finding),
            Ok((_, answer)) if answer.status != 200 => {
                let found = exchange.found(self.scene, "status-changed");
                Err(found.compared(200, answer.status).fail())
            }
            Ok((received, answer)) => {
                let found = exchange.found(self.scene, "answer-body-changed");
                Err(found.compared(&received.backend, answer.text()).fail())
            }
        }
    }

    /// A diagnosis with what the file says.
    pub fn found(&self, id: &'static str, by_hand: &[&str]) -> Diagnosis {
        Diagnosis::new(id)
            .with("field", &*self.field)
            .with("backends", self.backends.len())
            .repeat(self.by_hand(by_hand))
    }

    /// The file with the addresses of the lab backends, how to run it, and these
    /// commands, in which `{field}` is the header field.
    fn by_hand(&self, commands: &[&str]) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let three = (6190..6193).map(lab).collect();
        let mut all = vec![
            "pingora-lab backends".to_owned(),
            self.file(lab(6188), Order::First, three).command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
        ];
        all.extend(commands.iter().map(|command| command.replace("{field}", &self.field)));
        all
    }

    /// The same with a second program beside the first, whose file names the backends in this
    /// order.
    pub fn by_hand_beside(&self, order: Order) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let three = (6190..6193).map(lab).collect();
        let mut all = self.by_hand(&[]);
        all.extend([
            self.file(lab(6187), order, three).command("lab2.toml"),
            format!("LAB_CONFIG=$PWD/lab2.toml pingora-lab run {ID}"),
            format!(
                "for i in $(seq 9); do for port in 6188 6187; do curl -s -o /dev/null -D - \
                 -H \"{}: user-$i\" 127.0.0.1:$port/get | grep -i x-lab-backend; done; done",
                self.field
            ),
        ]);
        all
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.backends.iter().map(RecordingBackend::address).collect()
    }

    fn file(&self, listen: SocketAddr, order: Order, mut backends: Vec<SocketAddr>) -> ConfigFile {
        if order == Order::Reversed {
            backends.reverse();
        }
        let by = Value::Table([("header".to_owned(), text(&self.field))].into_iter().collect());
        let keys =
            [("name", text(&self.pool)), ("balance", text("consistent_hash")), ("hash_by", by)];
        let mut file = ConfigFile::new().listener(listen).table("[[pool]]", keys);
        if let Some(interval) = self.interval {
            let interval = text(format!("{}ms", interval.as_millis()));
            file = file.table("[pool.health_check]", [("interval", interval)]);
        }
        let file = backends.into_iter().fold(file, |file, address| {
            file.table("[[pool.backend]]", [("address", text(address))])
        });
        file.route(&[], None, &self.pool)
    }
}

// === impl Homes ===

impl Homes {
    /// How many keys each backend has.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.backends];
        for place in &self.of {
            counts[*place] += 1;
        }
        counts
    }

    /// Which keys are elsewhere now.
    pub fn moved(&self, now: &Self) -> Vec<usize> {
        (0..self.of.len()).filter(|&key| self.of[key] != now.of[key]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_and_compared_by_their_homes() {
        let homes = |of: &[usize]| Homes { backends: 3, of: of.to_vec() };
        let before = homes(&[0, 1, 1, 2]);
        assert_eq!(before.counts(), [1, 2, 1]);
        assert_eq!(before.moved(&homes(&[0, 1, 1, 2])), [0; 0]);
        assert_eq!(before.moved(&homes(&[2, 1, 0, 2])), [0, 2]);
    }
}
