//! Pools with weights, a route to each, and the program in front of them.

use std::net::SocketAddr;
use std::time::Duration;

use super::ID;
use super::order::Order;
use super::weights::Weights;
use crate::backends::recording::RecordingBackend;
use crate::judge::client::Request;
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stages::turns::in_words;

/// A pool, and its route.
pub struct Pool {
    name: String,
    prefix: String,
    /// Its backends' weights.
    pub weights: Weights,
    /// Its backends.
    pub backends: Vec<RecordingBackend>,
}

/// A file, and what stands around it.
pub struct Setup<'a> {
    scene: &'a Scene,
    /// The pools.
    pub pools: Vec<Pool>,
    interval: Option<Duration>,
}

/// Backends whose weights would be others, were they put into the order of their addresses.
fn unsorted(
    scene: &Scene,
    name: &str,
    weights: &Weights,
) -> Result<Vec<RecordingBackend>, Finding> {
    let all = weights.all();
    loop {
        let backends = scene.backends_named(name, all.len())?;
        let mut sorted: Vec<_> = (0..all.len()).collect();
        sorted.sort_by_key(|place| backends[*place].address());
        let moved = sorted.iter().zip(&all).any(|(place, weight)| all[*place] != *weight);
        if moved || all.iter().all(|weight| *weight == all[0]) {
            return Ok(backends);
        }
    }
}

// === impl Setup ===

impl<'a> Setup<'a> {
    /// A pool for each of these lists of weights.
    ///
    /// # Errors
    ///
    /// The machine has no port for a backend, which is inconclusive.
    pub fn new(
        scene: &'a Scene,
        weights: impl IntoIterator<Item = Weights>,
        interval: Option<Duration>,
    ) -> Result<Self, Finding> {
        let mut pools = Vec::new();
        for weights in weights {
            let name = scene.draw.word();
            let backends = unsorted(scene, &name, &weights)?;
            scene.plan(format!("{name} with weights {:?}", weights.said().collect::<Vec<_>>()));
            pools.push(Pool { prefix: format!("/anything/{name}"), name, weights, backends });
        }
        if let Some(interval) = interval {
            scene.plan(format!("health checks every {interval:?}"));
        }
        Ok(Self { scene, pools, interval })
    }

    /// Starts the program.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(&self) -> Result<Running<'a>, Finding> {
        let file = |listen| {
            self.file(listen, |pool| pool.backends.iter().map(RecordingBackend::address).collect())
        };
        let started = self.scene.start_configured(&[], &[], &file).await;
        // What this stage adds to the file has words of its own.
        started.map_err(|finding| match finding.diagnosis().id {
            "good-file-refused" => {
                finding.map(|found| found.renamed("weight-not-known").repeat(self.by_hand(0, 0)))
            }
            _ => finding,
        })
    }

    /// A request to a pool, with a target that no other has.
    pub fn request(&self, running: &Running<'_>, pool: usize) -> Request {
        let draw = &self.scene.draw;
        let target = format!("{}/{}/{}", self.pools[pool].prefix, draw.word(), draw.word());
        running.request("GET", target)
    }

    /// Sends a request to a pool; the place of the backend that received it.
    ///
    /// # Errors
    ///
    /// It went to none, or to that of another pool, or did not come back.
    pub async fn turn(&self, running: &Running<'_>, pool: usize) -> Result<usize, Finding> {
        let request = self.request(running, pool);
        let exchange = Exchange::of(self.scene, running.client(), request).await;
        self.place(running, pool, &exchange).await
    }

    /// The same of a request for which nothing is drawn.
    ///
    /// # Errors
    ///
    /// As [`Setup::turn`].
    pub async fn unplanned_turn(
        &self,
        running: &Running<'_>,
        pool: usize,
    ) -> Result<usize, Finding> {
        let number = self.scene.recorder.read(|log| log.entries().len());
        let request = running.request("GET", format!("{}/again/{number}", self.pools[pool].prefix));
        let exchange = Exchange::of(self.scene, running.client(), request).await;
        self.place(running, pool, &exchange).await
    }

    /// The name of a pool.
    pub fn pool_name(&self, pool: usize) -> &str {
        &self.pools[pool].name
    }

    /// The place of the backend that received a request to a pool.
    ///
    /// # Errors
    ///
    /// As [`Setup::turn`].
    pub async fn place(
        &self,
        running: &Running<'_>,
        pool: usize,
        exchange: &Exchange,
    ) -> Result<usize, Finding> {
        let (received, answer) = exchange.through(self.scene, running).await?;
        if answer.status != 200 {
            let found = exchange.found(self.scene, "status-changed");
            return Err(found.compared(200, answer.status).fail());
        }
        let Pool { name, backends, .. } = &self.pools[pool];
        let place = backends.iter().position(|one| one.name() == &*received.backend);
        place.ok_or_else(|| {
            exchange
                .found(self.scene, "another-pool")
                .compared(format!("a backend of {name}"), &received.backend)
                .with("pool", &**name)
                .with("reached", &*received.backend)
                .repeat(self.by_hand(pool, 1))
                .fail()
        })
    }

    /// Sends so many requests to a pool, one after the other.
    ///
    /// # Errors
    ///
    /// As [`Setup::turn`].
    pub async fn order(
        &self,
        running: &Running<'_>,
        pool: usize,
        requests: usize,
    ) -> Result<Order, Finding> {
        let mut order = Order { backends: self.pools[pool].backends.len(), turns: Vec::new() };
        for _ in 0..requests {
            order.turns.push(self.turn(running, pool).await?);
        }
        Ok(order)
    }

    /// A diagnosis about the order of the requests to a pool.
    pub fn found(&self, id: &'static str, pool: usize, order: &Order) -> Diagnosis {
        let Pool { name, weights, .. } = &self.pools[pool];
        Diagnosis::new(id)
            .with("pool", &**name)
            .with("weights", in_words(weights.all()))
            .with("cycle", weights.cycle())
            .with("requests", order.turns.len())
            .with("counts", in_words(order.counts()))
            .with("order", order.beginning())
            .repeat(self.by_hand(pool, weights.cycle() * 2))
    }

    /// The file with the addresses of the lab backends, how to run it, and so many
    /// requests to a pool.
    pub fn by_hand(&self, pool: usize, requests: usize) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let four = self.pools.iter().any(|pool| pool.backends.len() > 3);
        let file =
            self.file(lab(6188), |pool| (6190..).take(pool.backends.len()).map(lab).collect());
        let more = four.then(|| "pingora-lab backends --ports 6193,0,0".to_owned());
        let mut commands = vec!["pingora-lab backends".to_owned()];
        commands.extend(more);
        commands.push(file.command("lab.toml"));
        commands.push(format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"));
        if requests > 0 {
            commands.push(format!(
                "pingora-lab probe --no-keepalive --count {requests} http://127.0.0.1:6188{}",
                self.pools[pool].prefix
            ));
        }
        commands
    }

    /// The same while the heaviest of each pool is away, and when it is back.
    pub fn by_hand_without(&self, pool: usize) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = |pool: &Pool| -> Vec<SocketAddr> {
            let (heaviest, mut others) = (pool.weights.heaviest(), 6191..);
            let port =
                |place: usize| if place == heaviest { 6193 } else { others.next().unwrap_or(6192) };
            (0..pool.backends.len()).map(port).map(lab).collect()
        };
        let Pool { prefix, weights, .. } = &self.pools[pool];
        let probe = format!(
            "pingora-lab probe --no-keepalive --count {} http://127.0.0.1:6188{prefix}",
            weights.cycle() * 2
        );
        vec![
            "pingora-lab backends".to_owned(),
            self.file(lab(6188), addresses).command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
            probe.clone(),
            "pingora-lab backends --ports 6193,0,0".to_owned(),
            format!("sleep 1; {probe}"),
        ]
    }

    /// Requests to a pool by turns with those to another, and who got how many of the former.
    pub fn by_hand_mixed(&self, pool: usize) -> Vec<String> {
        let other = if pool == 0 { self.pools.len() - 1 } else { 0 };
        let ask = |pool: usize| {
            format!("curl -s -o /dev/null -D - http://127.0.0.1:6188{}", self.pools[pool].prefix)
        };
        let count = self.pools[pool].weights.cycle() * 2;
        let mut commands = self.by_hand(pool, 0);
        commands.push(format!(
            "for i in $(seq {count}); do {} | grep -i x-lab-backend; {} >/dev/null; done | sort | uniq -c",
            ask(pool),
            ask(other)
        ));
        commands
    }

    fn file(&self, listen: SocketAddr, addresses: impl Fn(&Pool) -> Vec<SocketAddr>) -> ConfigFile {
        let file = ConfigFile::new().listener(listen);
        let file = self.pools.iter().fold(file, |file, pool| {
            let backends = addresses(pool).into_iter().zip(pool.weights.said());
            file.weighted_pool(&pool.name, self.interval, backends)
        });
        self.pools.iter().fold(file, |file, pool| file.route(&[], Some(&pool.prefix), &pool.name))
    }
}
