//! A program that was told the name by which it signs (`LAB_PROXY_NAME`), which
//! stages 04 and 05 ask of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future;

use crate::backends::recording::{Act, Gate, Received, RecordingBackend, Reply};
use crate::judge::client::{Answer, Client, Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::{Exchange, line};
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// How long the requests of a burst may take to be at the backends together. If
/// they are not by then they are answered all the same: what is judged is not
/// how many there can be at a time.
const TOGETHER: Duration = Duration::from_secs(2);

/// A program in front of backends, with a name that nobody has written into it.
pub struct NamedProxy<'a> {
    /// The scene it is part of.
    pub scene: &'a Scene,
    /// The name.
    pub name: String,
    /// The backends, none of which is checked again while it is judged: the
    /// interval is long.
    pub backends: Vec<RecordingBackend>,
    /// The program.
    pub running: Running<'a>,
}

/// One of several requests that were under way at the same time.
#[derive(Debug)]
pub struct Together {
    /// Where it came from.
    pub from: IpAddr,
    /// What came of it.
    pub exchange: Exchange,
}

// === impl NamedProxy ===

impl<'a> NamedProxy<'a> {
    /// Starts the program in front of so many backends.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(scene: &'a Scene, backends: usize) -> Result<Self, Finding> {
        let interval = scene.draw.number(20_000..60_000);
        Self::start_in_front_of(scene, scene.backends(backends)?, interval).await
    }

    /// The same in front of these backends, with this interval of its health
    /// checks, in milliseconds.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start_in_front_of(
        scene: &'a Scene,
        backends: Vec<RecordingBackend>,
        interval: u64,
    ) -> Result<Self, Finding> {
        let name = format!("{}-{}", scene.draw.word(), scene.draw.number(10..100));
        scene.plan(format!("a proxy named {name}, health checks every {interval} ms"));
        let interval = interval.to_string();
        let settings = [("LAB_PROXY_NAME", &*name), ("LAB_HEALTH_INTERVAL_MS", &*interval)];
        let running = scene.start_with(&backends, &settings).await?;
        Ok(Self { scene, name, backends, running })
    }

    /// Sends a request that no other accompanies.
    pub async fn exchange(&self, client: Client, request: Request) -> Exchange {
        let fields = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
        let fields: Vec<_> =
            fields.map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
        self.scene.plan(format!("{} [{}]", line(&request), fields.join("; ")));
        Exchange::of(self.scene, client, request).await
    }

    /// What all backends answer from now on.
    pub fn answer_with(&self, reply: &Reply) {
        for backend in &self.backends {
            backend.always(Act::Answer(reply.clone()));
        }
    }

    /// Sends requests that are all at the backends before one of them is answered,
    /// so that what the program keeps for all requests together instead of for
    /// each is overwritten. Each comes from the next of the addresses.
    ///
    /// # Errors
    ///
    /// One was not answered, or reached no backend.
    pub async fn burst(&self, count: usize, from: &[IpAddr]) -> Result<Vec<Together>, Finding> {
        let scene = self.scene;
        scene.plan(format!("{count} requests at once from {} addresses", from.len()));
        let gate = Gate::for_all_of(count);
        for backend in &self.backends {
            backend.always(Act::Hold(gate.clone(), Reply::ok(backend.name().to_owned())));
        }
        let requests: Vec<_> = (0..count)
            .zip(from.iter().cycle())
            .map(|(_, from)| (*from, self.running.request("GET", scene.draw.path())))
            .collect();
        // Owned, since a closure over borrowed pairs is not general enough to be sent
        // to another thread.
        let to_send: Vec<_> = requests
            .iter()
            .map(|(from, request)| (self.running.client_from(*from), request.clone()))
            .collect();
        let sent = future::join_all(
            to_send.into_iter().map(|(client, request)| async move { client.send(&request).await }),
        );
        let mut sent = pin!(sent);
        let answers = tokio::select! {
            answers = &mut sent => answers,
            () = tokio::time::sleep(TOGETHER) => {
                gate.open();
                sent.await
            }
        };

        let mut together = Vec::new();
        for ((from, request), answer) in requests.into_iter().zip(answers) {
            let received = self.received(&request);
            let exchange = Exchange { request, received, answer };
            exchange.through(scene, &self.running).await?;
            together.push(Together { from, exchange });
        }
        Ok(together)
    }

    fn received(&self, request: &Request) -> Vec<Received> {
        self.scene.recorder.read(|log| {
            log.requests().filter(|received| received.target == request.target).cloned().collect()
        })
    }

    /// The address of a backend, as the program was told it.
    pub fn address_of(&self, backend: &str) -> Option<SocketAddr> {
        let named = self.backends.iter().find(|one| one.name() == backend);
        named.map(RecordingBackend::address)
    }

    /// Commands that send this request by hand, to a program of this name.
    pub fn by_hand(&self, request: &Request) -> Vec<String> {
        self.with_name(self.scene.by_hand(request))
    }

    /// The same from another address of this machine.
    pub fn by_hand_from(&self, from: IpAddr, request: &Request) -> Vec<String> {
        let commands = self.scene.by_hand(request).into_iter();
        let from = format!("curl --interface {from} ");
        self.with_name(commands.map(|command| command.replacen("curl ", &from, 1)).collect())
    }

    fn with_name(&self, mut commands: Vec<String>) -> Vec<String> {
        if let Some(run) = commands.first_mut() {
            *run = format!("LAB_PROXY_NAME={} {run}", self.name);
        }
        commands
    }
}

// === impl Together ===

impl Together {
    /// The receipt and the answer, of which [`NamedProxy::burst`] has seen to it
    /// that there is one each.
    pub fn outcome(&self) -> Option<(&Received, &Result<Answer, Trouble>)> {
        self.exchange.received.first().map(|received| (received, &self.exchange.answer))
    }
}

/// The addresses from which clients come: they are the same machine, and for the
/// program they are three.
pub fn addresses() -> [IpAddr; 3] {
    [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last).into())
}
