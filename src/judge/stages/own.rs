//! A request with a target of its own, and what became of it among others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future;

use crate::backends::recording::{Act, Log, Received, RecordingBackend, Reply};
use crate::judge::client::{Answer, Client, Request, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::exchange::{Exchange, preview};
use crate::judge::running::Running;
use crate::judge::scene::Scene;

/// How long the log of the backends may lag behind a client's answer.
const LAG: Duration = Duration::from_secs(1);

/// A request whose target no other request has.
#[derive(Clone, Debug)]
pub struct Own {
    /// The request.
    pub request: Request,
    body: Bytes,
}

/// A request, and what became of it.
#[derive(Debug)]
pub struct Tried {
    /// What was sent, what the backends received of it, what came back.
    pub exchange: Exchange,
    body: Bytes,
}

// === impl Own ===

impl Own {
    /// A request with this method; with a body where the method usually has one.
    pub fn drawn(scene: &Scene, running: &Running<'_>, method: &str) -> Self {
        let (body, chunked) = drawn_body(scene, method);
        Self::with_body(scene, running, method, body, chunked)
    }

    /// The same with this target, which no other request may have.
    pub fn drawn_to(scene: &Scene, running: &Running<'_>, method: &str, target: String) -> Self {
        let (body, chunked) = drawn_body(scene, method);
        Self::to(scene, running, method, target, body, chunked)
    }

    /// A request with this body, in chunks or not; an empty one is none.
    pub fn with_body(
        scene: &Scene,
        running: &Running<'_>,
        method: &str,
        body: Vec<u8>,
        chunked: bool,
    ) -> Self {
        let target = format!("{}?{}", scene.draw.path(), scene.draw.word());
        Self::to(scene, running, method, target, body, chunked)
    }

    fn to(
        scene: &Scene,
        running: &Running<'_>,
        method: &str,
        target: String,
        body: Vec<u8>,
        chunked: bool,
    ) -> Self {
        scene.plan(format!("{method} {target} with {} bytes", body.len()));
        let request = running.request(method, target);
        let body = Bytes::from(body);
        let request = match (body.is_empty(), chunked) {
            (true, _) => request,
            (false, true) => request.chunked(body.clone(), 700),
            (false, false) => request.body(body.clone()),
        };
        Self { request, body }
    }

    /// The same for this host, if it is not the program's own address.
    pub fn for_host(self, host: Option<&str>) -> Self {
        Self { request: self.request.for_host(host), ..self }
    }

    /// This request, which has no body.
    pub fn of(request: Request) -> Self {
        Self { request, body: Bytes::new() }
    }

    /// A GET that is not drawn: of such there are more or less, as time goes, and
    /// the draws behind them must not move.
    pub fn unplanned(scene: &Scene, running: &Running<'_>) -> Self {
        let number = scene.recorder.read(|log| log.entries().len());
        Self::of(running.request("GET", format!("/anything/again/{number}")))
    }

    /// Sends it over a connection of its own.
    pub async fn send(self, scene: &Scene, client: Client) -> Tried {
        let answer = client.send(&self.request).await;
        self.with_answer(scene, answer).await
    }

    /// With what came back, and what the backends received of it.
    pub async fn with_answer(self, scene: &Scene, answer: Result<Answer, Trouble>) -> Tried {
        let Self { request, body } = self;
        let complete = |log: &Log| {
            let mut own = log.requests().filter(|one| one.target == request.target);
            own.all(|one| one.complete).then_some(())
        };
        // The body's last byte and the answer may be noted in either order.
        if answer.as_ref().is_ok_and(|answer| answer.status < 400) {
            scene.recorder.wait_for(Instant::now() + LAG, complete).await;
        }
        let received = scene.recorder.read(|log| {
            log.requests().filter(|one| one.target == request.target).cloned().collect()
        });
        Tried { exchange: Exchange { request, received, answer }, body }
    }
}

/// A body where the method usually has one, and whether it goes in chunks.
fn drawn_body(scene: &Scene, method: &str) -> (Vec<u8>, bool) {
    let draw = &scene.draw;
    let length = usize::try_from(draw.number(1..3000)).unwrap_or(1);
    let with_body = matches!(method, "POST" | "PUT" | "PATCH");
    let body = if with_body { draw.bytes(length) } else { Vec::new() };
    (body, draw.number(0..2) == 0)
}

/// Every backend answers a request with its target.
pub fn echo(backends: &[RecordingBackend]) {
    for backend in backends {
        backend.set_to(|received| Act::Answer(Reply::ok(received.target.clone())));
    }
}

/// The backend refuses connections from now on.
pub fn refuse(scene: &Scene, backend: &RecordingBackend) -> Result<(), Finding> {
    backend.refuse().map_err(|error| scene.our_error("a backend could not be stopped", &error))
}

/// The backend listens again, on the same port.
pub fn listen(scene: &Scene, backend: &RecordingBackend) -> Result<(), Finding> {
    backend.listen().map_err(|error| scene.our_error("a backend could not come back", &error))
}

/// Sends them one after the other, up to the first that is not answered at all:
/// there is no time for many of these.
pub async fn one_by_one(scene: &Scene, running: &Running<'_>, requests: Vec<Own>) -> Vec<Tried> {
    let mut all = Vec::new();
    for request in requests {
        let tried = request.send(scene, running.client()).await;
        let hung = matches!(tried.exchange.answer, Err(Trouble::NoAnswer { .. }));
        all.push(tried);
        if hung {
            break;
        }
    }
    all
}

/// Sends them all at the same time.
pub async fn at_once(scene: &Scene, running: &Running<'_>, requests: Vec<Own>) -> Vec<Tried> {
    let client = running.client();
    future::join_all(requests.into_iter().map(|request| request.send(scene, client))).await
}

/// How long a refused request may be on its way to a backend after its answer.
const LATE: Duration = Duration::from_millis(300);

/// The first of some requests that a backend has received though none should, and how many of
/// them have come.
pub async fn reached(
    scene: &Scene,
    is_one: impl Fn(&Received) -> bool,
) -> Option<(Received, usize)> {
    let first = |log: &Log| log.requests().find(|received| is_one(received)).cloned();
    let first = scene.recorder.wait_for(Instant::now() + LATE, first).await?;
    Some((first, scene.recorder.read(|log| log.requests().filter(|one| is_one(one)).count())))
}

// === impl Tried ===

impl Tried {
    /// Whether one backend received it as it was sent, and the client got the
    /// answer of [`echo`].
    pub fn served(&self) -> bool {
        let Exchange { request, received, answer } = &self.exchange;
        match (received.as_slice(), answer) {
            ([received], Ok(answer)) => {
                answer.status == 200
                    && answer.text() == request.target
                    && received.method == request.method
                    && received.body == self.body
            }
            _ => false,
        }
    }

    /// Whether it reached no backend.
    pub fn reached_nobody(&self) -> bool {
        self.exchange.received.is_empty()
    }

    /// Why it is not [`Tried::served`], as every check could find it.
    pub async fn finding(&self, scene: &Scene, running: &Running<'_>) -> Finding {
        let (received, answer) = match self.exchange.through(scene, running).await {
            Ok(through) => through,
            Err(finding) => return finding,
        };
        let request = &self.exchange.request;
        let differs = |id, expected: String, actual: String| {
            self.exchange.found(scene, id).compared(expected, actual).fail()
        };
        if received.method != request.method {
            differs("method-changed", request.method.clone(), received.method.clone())
        } else if received.body != self.body {
            differs("request-body-changed", preview(&self.body), preview(&received.body))
        } else if answer.status != 200 {
            differs("status-changed", "200".to_owned(), answer.status.to_string())
        } else {
            differs("answer-body-changed", request.target.clone(), preview(&answer.body))
        }
    }
}
