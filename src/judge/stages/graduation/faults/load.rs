//! Clients that come all the time, whatever goes on, and what they are told.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::deeds::{answer, hash};
use super::site::{HOST, Phase, Pool, Site};
use crate::judge::client::{Answer, Connection, Request, Trouble};

/// The clients: so many that use each connection once, and so many that keep theirs.
const FRESH: usize = 3;
const KEPT: usize = 3;

/// The pause of a client between two requests: the program is to be busy, and not the machine.
const BREATH: Duration = Duration::from_millis(12);

/// More than a program keeps of a request for another try.
const LARGE: u64 = 100_000;

/// A request that is to be sent.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What is sent.
    pub request: Request,
    /// Its body.
    body: Bytes,
}

/// A request, and what its client was told.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The target, which no other request has.
    pub target: String,
    /// Whether its connection had been used before.
    pub used: bool,
    /// When it was sent.
    pub sent: Instant,
    /// When that was over.
    pub done: Instant,
    /// What went on then, and which of all it was.
    pub phase: (usize, Phase),
    /// What it was told.
    pub told: Told,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The answer to its own request, whole.
    Right,
    /// An answer that looks whole, has the status 200, and is not what the backend says to
    /// this request.
    Wrong(Wrong),
    /// Another status.
    Status(u16),
    /// Something else than an answer.
    Trouble(Trouble),
}

/// How an answer is not the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is the one of another request.
    Foreign,
    /// It is the beginning of the right one, of so many bytes.
    Beginning(usize, usize),
    /// What the backend received with the request is not what was sent.
    Upload,
    /// It is something else.
    Other,
}

// === impl Wish ===

impl Wish {
    /// The request of a client of this number.
    fn of_client(site: &Site<'_>, number: usize) -> Self {
        let nth = site.number();
        let kind = hash(format!("{number} {nth}").as_bytes());
        let pools = &site.pools;
        let method = if (kind / 8).is_multiple_of(2) { "GET" } else { "POST" };
        match kind % 8 {
            0..=5 => Self::to(site, &pools.web, method, nth),
            6 => Self::to(site, &pools.api, method, nth),
            _ => {
                let target = format!("/anything/{number}/{nth}");
                let wish = Self::with_target(site, method, target);
                Self { request: wish.request.for_host(Some(HOST)), ..wish }
            }
        }
    }

    /// A request of this method to a pool, with this word or number in its target.
    pub fn to(site: &Site<'_>, pool: &Pool, method: &str, word: impl std::fmt::Display) -> Self {
        let target = format!("{}/{word}", pool.prefix);
        Self::with_target(site, method, target)
    }

    fn with_target(site: &Site<'_>, method: &str, target: String) -> Self {
        let request = site.running.request(method, target);
        let number = hash(request.target.as_bytes());
        if method != "POST" {
            return Self { request, body: Bytes::new() };
        }
        let length = if number.is_multiple_of(16) { LARGE } else { 1 + number % 2000 };
        let bytes = (0..length).map(|at| (number.wrapping_mul(at + 1) >> 32) as u8);
        let body: Bytes = bytes.collect();
        let request = match number / 16 % 2 {
            0 => request.body(body.clone()),
            _ => request.chunked(body.clone(), 700),
        };
        Self { request, body }
    }

    /// The first half of it, the body in two parts.
    pub fn half(&self) -> Bytes {
        let (bytes, head) = (self.request.to_bytes(), self.request.head_bytes().len());
        bytes.slice(..head + (bytes.len() - head) / 2)
    }

    /// What an answer is to this.
    fn told(&self, outcome: Result<Answer, Trouble>) -> Told {
        let answered = match outcome {
            Err(trouble) => return Told::Trouble(trouble),
            Ok(answer) if answer.status != 200 => return Told::Status(answer.status),
            Ok(answer) => answer.body,
        };
        match compared(&self.request.target, &self.body, &answered) {
            None => Told::Right,
            Some(wrong) => Told::Wrong(wrong),
        }
    }
}

/// How the body of an answer is not the right one, if it is not.
fn compared(target: &str, sent: &[u8], answered: &[u8]) -> Option<Wrong> {
    let right = answer(target, sent);
    if answered == right {
        return None;
    }
    let own = format!("{target} ");
    let first = answered.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(if right.starts_with(answered) {
        Wrong::Beginning(answered.len(), right.len())
    } else if first.starts_with(b"/anything/") && !first.starts_with(own.as_bytes()) {
        Wrong::Foreign
    } else if first.starts_with(own.as_bytes()) && !right.starts_with(first) {
        Wrong::Upload
    } else {
        Wrong::Other
    })
}

// === impl Asked ===

impl Asked {
    /// Whether it was answered as it was to be.
    pub fn served(&self) -> bool {
        self.told == Told::Right
    }
}

impl Site<'_> {
    /// Sends a request and notes what became of it; the connection, where it may be used
    /// again. None means a new connection.
    pub async fn ask(&self, wish: Wish, connection: Option<Connection>) -> Option<Connection> {
        self.asks(wish, connection).await.1
    }

    /// The same, with what became of it.
    pub async fn asks(
        &self,
        wish: Wish,
        connection: Option<Connection>,
    ) -> (Asked, Option<Connection>) {
        let used = connection.is_some();
        self.under_way.lock().insert(wish.request.target.clone());
        let sent = Instant::now();
        let mut kept = None;
        let outcome = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.running.client().connect().await?,
            };
            let answer = connection.send(&wish.request).await?;
            kept = Some(connection).filter(|_| answer.reusable);
            Ok(answer)
        };
        let told = wish.told(outcome.await);
        let asked = Asked {
            method: wish.request.method.clone(),
            target: wish.request.target.clone(),
            used,
            sent,
            done: Instant::now(),
            phase: self.phase(),
            told,
        };
        if asked.served() {
            self.served[usize::from(asked.method == "POST")].fetch_add(1, Relaxed);
        }
        self.asked.lock().push(asked.clone());
        self.under_way.lock().remove(&asked.target);
        (asked, kept)
    }

    /// All clients, until it is over.
    pub async fn load(&self) {
        let clients = (0..FRESH + KEPT).map(|number| self.client(number, number >= FRESH));
        futures_util::future::join_all(clients).await;
    }

    async fn client(&self, number: usize, keeps: bool) {
        let mut connection = None;
        while !self.over.load(Relaxed) {
            let wish = Wish::of_client(self, number);
            connection = self.ask(wish, connection.take()).await.filter(|_| keeps);
            tokio::time::sleep(BREATH).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let right = answer("/anything/a/1", b"sent");
        let of_another = answer("/anything/a/12", b"sent");
        let told = |answered: &[u8]| compared("/anything/a/1", b"sent", answered);
        assert_eq!(told(&right), None);
        assert_eq!(told(&of_another), Some(Wrong::Foreign));
        let half = &right[..right.len() / 2];
        assert_eq!(told(half), Some(Wrong::Beginning(half.len(), right.len())));
        assert_eq!(told(b""), Some(Wrong::Beginning(0, right.len())));
        assert_eq!(told(&[half, half].concat()), Some(Wrong::Other));
        assert_eq!(told(&answer("/anything/a/1", b"else")), Some(Wrong::Upload));
        assert_eq!(told(b"well"), Some(Wrong::Other));
    }
}
