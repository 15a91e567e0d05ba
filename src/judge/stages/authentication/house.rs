//! A program with doors, and clients in front of them.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::doors::{Door, Doors};
use super::users::User;
use crate::backends::recording::{Act, RecordingBackend, Reply};
use crate::judge::client::Request;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// A program with doors.
pub struct House<'a> {
    /// The scene it is part of.
    pub scene: &'a Scene,
    /// The program.
    pub running: Running<'a>,
    /// Its doors.
    pub doors: Doors,
    /// What is behind them.
    pub backends: Vec<RecordingBackend>,
    word: String,
    sent: AtomicU32,
}

// === impl House ===

impl<'a> House<'a> {
    /// Starts it, with these users among the staff.
    ///
    /// # Errors
    ///
    /// Why it does not listen, or does not forward.
    pub async fn start(scene: &'a Scene, more: Vec<User>) -> Result<Self, Finding> {
        let doors = Doors::drawn(&scene.draw, more)?;
        for door in [&doors.staff.door, &doors.partners.door, &doors.web.door, &doors.mobile.door] {
            let Door { policy, prefix, field, scheme } = door;
            scene.plan(format!("{scheme} {policy} for {prefix}, told in {field}"));
        }
        let (said, word) = (scene.draw.word(), scene.draw.word());
        let backends = scene.backends(2)?;
        for backend in &backends {
            backend.always(Act::Answer(Reply::ok(said.clone())));
        }
        doors.write_files(scene)?;
        let folder = scene.config_path()?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        let addresses: Vec<_> = backends.iter().map(RecordingBackend::address).collect();
        let write = |listen| doors.file(listen, &addresses, folder);
        let running = scene.start_configured(&backends, &[], &write).await?;
        let house = Self { scene, running, doors, backends, word, sent: AtomicU32::new(0) };
        house.forwards().await?;
        Ok(house)
    }

    /// Where there is no door, everybody passes.
    async fn forwards(&self) -> Outcome {
        let exchange = self.send(self.get_below(&self.doors.open)).await;
        let through = exchange.through(self.scene, &self.running).await;
        through.map(|_| ()).map_err(|finding| {
            finding.map(|found| match (found.id, &exchange.answer) {
                ("answered-without-backend", Ok(answer)) if answer.status == 401 => {
                    let found = found.renamed("asked-everywhere").with("prefix", "/");
                    found.repeat(self.by_hand(&exchange.request))
                }
                _ => found,
            })
        })
    }

    /// A GET like no other whose path begins so.
    pub fn get_below(&self, prefix: &str) -> Request {
        self.request_below("GET", prefix)
    }

    /// The same with this method.
    pub fn request_below(&self, method: &str, prefix: &str) -> Request {
        let number = self.sent.fetch_add(1, Relaxed);
        self.running.request(method, format!("{prefix}/{}/{number}", self.word))
    }

    /// Sends a request that no other accompanies. What comes of an earlier one behind its answer
    /// is not of this one.
    pub async fn send(&self, request: Request) -> Exchange {
        let mut exchange = Exchange::of(self.scene, self.running.client(), request).await;
        exchange.received.retain(|received| received.target == exchange.request.target);
        exchange
    }

    /// Sends what is shown at a door.
    pub async fn show(&self, door: &Door, credential: &str) -> Exchange {
        self.send(self.get_below(&door.prefix).header("Authorization", credential)).await
    }

    /// A diagnosis about a request at a door.
    pub fn found(&self, id: &'static str, door: &Door, exchange: &Exchange) -> Diagnosis {
        let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
        exchange
            .found(self.scene, id)
            .with("policy", &*door.policy)
            .with("scheme", door.scheme)
            .with("field", &*door.field)
            .with("status", status)
            .repeat(match id {
                "identity-missing"
                | "identity-wrong"
                | "credential-passed-on"
                | "spoofed-identity"
                | "spoofed-on-open-route"
                | "spoofed-look-alike"
                | "authorization-lost" => self.by_probe(&exchange.request),
                _ => self.by_hand(&exchange.request),
            })
    }

    /// The same with what a backend was sent, which the lab's say to the probe.
    fn by_probe(&self, request: &Request) -> Vec<String> {
        let mut probe = ["pingora-lab", "probe", "--count", "1"].map(str::to_owned).to_vec();
        for (name, value) in &request.headers {
            if !name.eq_ignore_ascii_case("host") {
                let field = format!("{name}: {}", String::from_utf8_lossy(value));
                probe.extend(["--header".to_owned(), field]);
            }
        }
        probe.push(format!("http://127.0.0.1:6188{}", request.target));
        let mut commands = self.doors.by_hand(self.scene.stage());
        commands.push(shell_words::join(probe));
        commands
    }

    /// Commands that send this request to a program with these doors.
    pub fn by_hand(&self, request: &Request) -> Vec<String> {
        let mut commands = self.doors.by_hand(self.scene.stage());
        commands.extend(self.scene.by_hand(request).into_iter().skip(1));
        commands
    }
}
