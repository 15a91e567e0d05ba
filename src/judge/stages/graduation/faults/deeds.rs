//! What the backends do to requests, and the book of it: whoever failed a request is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::backends::recording::{Act, Afterwards, Framing, Received, RecordingBackend, Reply};

/// How long the beginning of an answer that breaks off is given to reach its client.
const ON_ITS_WAY: Duration = Duration::from_millis(60);

/// How a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    Well,
    /// It answers after this time.
    Slow(Duration),
    /// It does not answer.
    Hangs,
    /// It ends the connection before the head of its answer is whole.
    BreaksHeads,
    /// It ends the connection in the middle of the body of its answer.
    BreaksBodies,
    /// It answers with a status that counts as a failure.
    Ill,
}

/// What became of a request at a backend, by the backend's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was answered.
    Served,
    /// It was not answered, and the connection was left open.
    Hung,
    /// The connection ended before the head of an answer was whole.
    Broken,
    /// The connection ended in the middle of an answer's body.
    Cut,
    /// It was answered with 500.
    Ill,
}

/// What a backend does instead of answering so at once.
pub type Instead = Arc<dyn Fn(Reply) -> Act + Send + Sync>;

/// Of one backend or of all, what is done with targets that have this in them.
type Special = (Option<Arc<str>>, String, Instead);

/// What all backends have done, by target.
#[derive(Default)]
pub struct Ledger {
    deeds: Mutex<HashMap<String, Vec<Deed>>>,
    moods: Mutex<HashMap<Arc<str>, Mood>>,
    served: Mutex<HashMap<Arc<str>, usize>>,
    special: Mutex<Vec<Special>>,
    failed: AtomicUsize,
}

// === impl Ledger ===

impl Ledger {
    /// From now on this backend does as its mood is, and notes it.
    pub fn keep(self: &Arc<Self>, backend: &RecordingBackend) {
        let (ledger, name) = (Arc::clone(self), Arc::<str>::from(backend.name()));
        backend.set_to(move |received| ledger.act(&name, received));
    }

    /// How a backend is from now on.
    pub fn set(&self, backend: &RecordingBackend, mood: Mood) {
        self.moods.lock().insert(backend.name().into(), mood);
    }

    /// What is done with requests whose target has this in it, whatever the mood; by one backend,
    /// or by all.
    pub fn always(&self, backend: Option<&RecordingBackend>, part: &str, act: Instead) {
        let backend = backend.map(|backend| backend.name().into());
        self.special.lock().push((backend, part.to_owned(), act));
    }

    /// What was done with a request, in order.
    pub fn deeds(&self, target: &str) -> Vec<Deed> {
        self.deeds.lock().get(target).cloned().unwrap_or_default()
    }

    /// How many requests a backend has answered.
    pub fn served(&self, backend: &RecordingBackend) -> usize {
        self.served.lock().get(backend.name()).copied().unwrap_or_default()
    }

    /// How many requests were left without an answer, or with half of one.
    pub fn failed(&self) -> usize {
        self.failed.load(Relaxed)
    }

    fn act(&self, name: &Arc<str>, received: &Received) -> Act {
        let special = self.special.lock().iter().find_map(|(of, part, act)| {
            let fits = of.as_ref().is_none_or(|of| of == name) && received.target.contains(part);
            fits.then(|| Arc::clone(act))
        });
        let mood = self.moods.lock().get(name).copied().unwrap_or(Mood::Well);
        let (deed, act) = match special {
            Some(act) => (Deed::Served, act(reply(&received.target, &received.body))),
            None => done(mood, received),
        };
        self.deeds.lock().entry(received.target.clone()).or_default().push(deed);
        match deed {
            Deed::Served => *self.served.lock().entry(Arc::clone(name)).or_default() += 1,
            _ => drop(self.failed.fetch_add(1, Relaxed)),
        }
        act
    }
}

fn done(mood: Mood, received: &Received) -> (Deed, Act) {
    let reply = reply(&received.target, &received.body);
    let one_of = hash(received.target.as_bytes()) % 4;
    match mood {
        Mood::Well => (Deed::Served, Act::Answer(reply)),
        Mood::Slow(time) => (Deed::Served, Act::Answer(reply).after(time)),
        Mood::Hangs => (Deed::Hung, Act::Hang),
        Mood::Ill => (Deed::Ill, Act::Answer(Reply::new(500).body("ill"))),
        Mood::BreaksHeads => {
            let part = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Len");
            let act = match one_of {
                0 => Act::ResetBeforeAnswer,
                1 => Act::CloseBeforeAnswer,
                2 => Act::Raw(part, Afterwards::Reset),
                _ => Act::Raw(part, Afterwards::Close),
            };
            (Deed::Broken, act)
        }
        Mood::BreaksBodies => {
            let then = if one_of < 2 { Afterwards::Close } else { Afterwards::Reset };
            let bytes = reply.to_bytes(&received.method).len() - reply.body.len() / 2;
            (Deed::Cut, Act::Part { reply, bytes, pause: ON_ITS_WAY, then })
        }
    }
}

/// The answer to a request: no other request has it, nor a part of it.
pub fn reply(target: &str, body: &[u8]) -> Reply {
    let number = hash(target.as_bytes());
    let framing =
        if number.is_multiple_of(3) { Framing::Chunked(1000) } else { Framing::ContentLength };
    Reply::ok(answer(target, body)).framing(framing)
}

/// Its body: lines that have the target, a number that stands for what came with the request,
/// and their own number.
pub fn answer(target: &str, body: &[u8]) -> Bytes {
    let sum = hash(body);
    let lines = 2 + hash(target.as_bytes()) / 7 % 120;
    (0..lines).map(|line| format!("{target} {sum:x} {line}\n")).collect::<String>().into()
}

/// The same on every machine (FNV-1a, of which the last bits are mixed once more).
pub fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}
