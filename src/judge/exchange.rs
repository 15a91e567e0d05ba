//! One request through the program: what was sent, what a backend received,
//! what the backend said, what the client got.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::client::{Answer, Client, Request, Trouble};
use super::diagnosis::{Diagnosis, Finding};
use super::running::Running;
use super::scene::Scene;
use crate::backends::recording::{Act, Framing, Log, Received, RecordingBackend, Reply};

/// How long the log of the backends may lag behind a client's answer.
const LAG: std::time::Duration = std::time::Duration::from_secs(1);

/// One request through the program, and what became of it.
#[derive(Debug)]
pub struct Exchange {
    /// What the client sent.
    pub request: Request,
    /// What the backends received while the client waited.
    pub received: Vec<Received>,
    /// What the client got.
    pub answer: Result<Answer, Trouble>,
}

// === impl Exchange ===

impl Exchange {
    /// Sends a request. No other request may be under way in the scene, so that
    /// whatever the backends receive meanwhile is of this one.
    pub async fn of(scene: &Scene, client: Client, request: Request) -> Self {
        let (received, answer) = received_by(scene, client.send(&request)).await;
        Self { request, received, answer }
    }

    /// The same, sent in another way: over TLS, for one.
    pub async fn sent(
        scene: &Scene,
        request: Request,
        sending: impl Future<Output = Result<Answer, Trouble>>,
    ) -> Self {
        let (received, answer) = received_by(scene, sending).await;
        Self { request, received, answer }
    }

    /// The one receipt and the answer.
    ///
    /// # Errors
    ///
    /// The request reached no backend, or was sent twice, or was not answered.
    pub async fn through<'a>(
        &'a self,
        scene: &Scene,
        running: &Running<'_>,
    ) -> Result<(&'a Received, &'a Answer), Finding> {
        match (self.received.as_slice(), &self.answer) {
            ([received], Ok(answer)) => Ok((received, answer)),
            ([], outcome) => Err(self.reached_nobody(scene, running, outcome).await),
            ([_], Err(trouble)) => Err(running.trouble(trouble, &self.request).await),
            (several, _) => Err(self
                .found(scene, "sent-twice")
                .compared("1 request to one backend", format!("{} requests", several.len()))
                .fail()),
        }
    }

    /// A diagnosis with what was sent and received in its evidence.
    pub fn found(&self, scene: &Scene, id: &'static str) -> Diagnosis {
        Diagnosis::new(id)
            .with("request", line(&self.request))
            .with("exchange", self.as_evidence())
            .repeat(scene.by_hand(&self.request))
    }

    /// Why no backend received the request.
    async fn reached_nobody(
        &self,
        scene: &Scene,
        running: &Running<'_>,
        outcome: &Result<Answer, Trouble>,
    ) -> Finding {
        // A TLS client sends its hello first: 16 (handshake), 03 (version).
        let garbage = scene.recorder.read(|log| log.garbage().next().cloned());
        if let Some(garbage) = garbage {
            let tls = garbage.bytes.starts_with(&[0x16, 0x03]);
            let id = if tls { "tls-to-plain-backend" } else { "not-http-to-backend" };
            let first = &garbage.bytes[..garbage.bytes.len().min(24)];
            return self
                .found(scene, id)
                .compared(line(&self.request), first.escape_ascii())
                .with("backend", &*garbage.backend)
                .fail();
        }
        match outcome {
            Ok(answer) if answer.status == 501 => self.nobody(scene, "not-written-yet", answer),
            Ok(answer) if answer.status >= 500 => self.nobody(scene, "backend-never-tried", answer),
            Ok(answer) => self.nobody(scene, "answered-without-backend", answer),
            Err(trouble) => running.trouble(trouble, &self.request).await,
        }
    }

    fn nobody(&self, scene: &Scene, id: &'static str, answer: &Answer) -> Finding {
        self.found(scene, id)
            .compared("the request at a backend", format!("status {}", answer.status))
            .with("status", answer.status)
            .fail()
    }

    fn as_evidence(&self) -> Value {
        let received: Vec<_> = self.received.iter().map(receipt).collect();
        let answer = match &self.answer {
            Ok(answer) => json!({
                "status": answer.status,
                "headers": fields(&answer.headers),
                "body": preview(&answer.body),
            }),
            Err(trouble) => json!({ "trouble": trouble.to_string() }),
        };
        json!({ "sent": sent(&self.request), "received": received, "answer": answer })
    }
}

/// What the backends receive until this request is answered, and the answer.
async fn received_by(
    scene: &Scene,
    sending: impl Future<Output = Result<Answer, Trouble>>,
) -> (Vec<Received>, Result<Answer, Trouble>) {
    let before = scene.recorder.read(|log| log.requests().count());
    let answer = sending.await;
    // The backend has entered the request before it answered; the body's last
    // byte and the answer may be noted in either order.
    let complete =
        |log: &Log| log.requests().skip(before).all(|received| received.complete).then_some(());
    if answer.is_ok() {
        scene.recorder.wait_for(Instant::now() + LAG, complete).await;
    }
    let received = scene.recorder.read(|log| log.requests().skip(before).cloned().collect());
    (received, answer)
}

/// The first line of a request, without its version.
pub fn line(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}

/// A request of a client, as evidence.
pub fn sent(request: &Request) -> Value {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    json!({ "request": line(request), "headers": headers })
}

/// A request at a backend, as evidence.
pub fn receipt(received: &Received) -> Value {
    json!({
        "backend": &*received.backend,
        "request": format!("{} {}", received.method, received.target),
        "headers": fields(&received.headers),
        "body": preview(&received.body),
    })
}

fn fields(headers: &[(String, String)]) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// The beginning of a body, as text that fits on a line.
pub fn preview(body: &Bytes) -> String {
    const SHOWN: usize = 60;
    let shown = body[..body.len().min(SHOWN)].escape_ascii().to_string();
    if body.len() > SHOWN { format!("{shown}… ({} bytes)", body.len()) } else { shown }
}

/// A request, and what the backend says to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The client's request, without its `Host`.
    pub request: Request,
    /// Its body.
    pub body: Bytes,
    /// The backend's answer.
    pub reply: Reply,
}

// === impl Case ===

impl Case {
    /// A request without a body.
    pub fn new(method: &str, target: impl Into<String>, reply: Reply) -> Self {
        Self { request: Request::new(method, target), body: Bytes::new(), reply }
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a body whose length is said before.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body.into();
        self.request = self.request.body(self.body.clone());
        self
    }

    /// With a body in chunks of this many bytes.
    #[must_use]
    pub fn chunked(mut self, body: Vec<u8>, size: usize) -> Self {
        self.body = body.into();
        self.request = self.request.chunked(self.body.clone(), size);
        self
    }

    /// In words, for the plan.
    pub fn planned(&self) -> String {
        let (bytes, status) = (self.body.len(), self.reply.status);
        format!("{} with {bytes} bytes, answered {status}", line(&self.request))
    }

    /// Sends it through the program and compares both ends: the backend must have
    /// received what was sent, the client what was answered.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub async fn holds(
        &self,
        scene: &Scene,
        running: &Running<'_>,
        backend: &RecordingBackend,
    ) -> Result<Exchange, Finding> {
        scene.plan(self.planned());
        backend.always(Act::Answer(self.reply.clone()));
        let mut request = self.request.clone();
        request.headers.insert(0, ("Host".to_owned(), running.listen.to_string().into_bytes()));
        let exchange = Exchange::of(scene, running.client(), request).await;
        let (received, answer) = exchange.through(scene, running).await?;
        self.arrived(scene, &exchange, received)?;
        self.came_back(scene, &exchange, answer)?;
        Ok(exchange)
    }

    fn arrived(
        &self,
        scene: &Scene,
        exchange: &Exchange,
        received: &Received,
    ) -> Result<(), Finding> {
        let differs = |id, expected: &str, actual: &str| {
            Err(exchange.found(scene, id).compared(expected, actual).fail())
        };
        let request = &self.request;
        if received.method != request.method {
            return differs("method-changed", &request.method, &received.method);
        }
        if received.target != request.target {
            let path = request.target.split('?').next().unwrap_or_default();
            let id = if received.path() == path { "query-changed" } else { "path-changed" };
            return differs(id, &request.target, &received.target);
        }
        for (name, value) in &request.headers {
            let value = String::from_utf8_lossy(value);
            if !received.values(name).contains(&&*value) {
                let actual = match received.values(name).as_slice() {
                    [] => format!("no {name}"),
                    values => format!("{name}: {}", values.join(" | ")),
                };
                return differs("request-header-changed", &format!("{name}: {value}"), &actual);
            }
        }
        if received.body != self.body {
            let (expected, actual) = difference(&self.body, &received.body);
            return differs("request-body-changed", &expected, &actual);
        }
        Ok(())
    }

    fn came_back(
        &self,
        scene: &Scene,
        exchange: &Exchange,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let differs = |id, expected: &str, actual: &str| {
            Err(exchange.found(scene, id).compared(expected, actual).fail())
        };
        let reply = &self.reply;
        if answer.status != reply.status {
            let (expected, actual) = (reply.status.to_string(), answer.status.to_string());
            return differs("status-changed", &expected, &actual);
        }
        for (name, value) in &reply.headers {
            let value = String::from_utf8_lossy(value);
            if !answer.values(name).contains(&&*value) {
                let actual = match answer.values(name).as_slice() {
                    [] => format!("no {name}"),
                    values => format!("{name}: {}", values.join(" | ")),
                };
                return differs("answer-header-changed", &format!("{name}: {value}"), &actual);
            }
        }
        let bodiless = self.request.method == "HEAD" || matches!(reply.status, 204 | 304);
        let expected = if bodiless { &Bytes::new() } else { &reply.body };
        if answer.body != *expected {
            let (expected, actual) = difference(expected, &answer.body);
            return differs("answer-body-changed", &expected, &actual);
        }
        Ok(())
    }
}

/// Two bodies in words: their lengths, and where they part.
fn difference(expected: &Bytes, actual: &Bytes) -> (String, String) {
    let at = expected.iter().zip(actual).position(|(one, other)| one != other);
    let at = at.unwrap_or(expected.len().min(actual.len()));
    let from = |body: &Bytes| {
        let part = body.slice(at.min(body.len())..);
        format!("{} bytes, from byte {at} on: {}", body.len(), preview(&part))
    };
    (from(expected), from(actual))
}

/// An answer with a body of its own and a header of its own, both drawn.
pub fn drawn_reply(scene: &Scene, status: u16) -> Reply {
    let draw = &scene.draw;
    let length = usize::try_from(draw.number(1..400)).unwrap_or(1);
    let reply = Reply::new(status).header(format!("X-{}", draw.word()), draw.word());
    if matches!(status, 204 | 304) {
        return reply;
    }
    let framing =
        if draw.number(0..2) == 0 { Framing::ContentLength } else { Framing::Chunked(37) };
    reply.body(draw.bytes(length)).framing(framing)
}
