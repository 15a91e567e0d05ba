//! What a backend does with a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::log::Received;
use super::reply::Reply;

/// Chooses what to do with a request, once the whole of it came.
pub type Behaviour = Arc<dyn Fn(&Received) -> Act + Send + Sync>;

/// Chooses what to do with a request whose head came, before its body is read;
/// `None` leaves it to the [`Behaviour`].
pub type EarlyBehaviour = Arc<dyn Fn(&Received) -> Option<Act> + Send + Sync>;

/// What a backend does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers at once.
    Answer(Reply),
    /// Does something after this time.
    Delay(Duration, Box<Act>),
    /// Answers when the gate opens.
    Hold(Gate, Reply),
    /// Answers piece by piece: `chunk` bytes of the whole (head included), then
    /// a pause of `every`, and so on.
    Drip {
        /// The answer.
        reply: Reply,
        /// Bytes a piece, at least 1.
        chunk: usize,
        /// The pause between two pieces.
        every: Duration,
    },
    /// Never answers; the connection stays open until the peer leaves it.
    Hang,
    /// Resets the connection instead of an answer.
    ResetBeforeAnswer,
    /// Resets the connection inside the answer.
    ResetInside {
        /// The answer.
        reply: Reply,
        /// How many bytes of it (head included) are written before the reset.
        /// More than a few hundred KiB may not all reach the peer, since a
        /// reset discards what is not sent yet.
        after_bytes: usize,
    },
    /// Breaks off in the middle of an answer whose beginning has had time to go its way.
    Part {
        /// The answer.
        reply: Reply,
        /// How many bytes of it (head included) are written.
        bytes: usize,
        /// How long it waits then.
        pause: Duration,
        /// What becomes of the connection.
        then: Afterwards,
    },
    /// Closes the connection instead of an answer.
    CloseBeforeAnswer,
    /// Sends these bytes, whatever they are.
    Raw(Bytes, Afterwards),
}

/// What becomes of a connection over which [`Act::Raw`] or [`Act::Part`] was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It is kept for further requests.
    Keep,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
}

/// Holds answers back until it opens. Its clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    open: bool,
    waiting: usize,
    opens_at: Option<usize>,
}

// === impl Act ===

impl Act {
    /// The same after this time.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::Delay(time, Box::new(self))
    }
}

// === impl Gate ===

impl Gate {
    /// A gate that is closed until [`Gate::open`].
    pub fn closed() -> Self {
        Self::new(None)
    }

    /// A gate that opens by itself once so many answers have waited at it.
    pub fn for_all_of(count: usize) -> Self {
        Self::new(Some(count))
    }

    fn new(opens_at: Option<usize>) -> Self {
        let (state, _) = watch::channel(State { open: false, waiting: 0, opens_at });
        Self { state: Arc::new(state) }
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state.borrow().open
    }

    /// How many answers wait at it, or waited when it opened.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting
    }

    /// Until so many answers wait at it, or waited when it opened. That a request is in the log
    /// does not say so: what is done with it is decided a moment later.
    pub async fn comes(&self, count: usize) {
        // The sender lives as long as this gate.
        let _ = self.state.subscribe().wait_for(|state| state.waiting >= count).await;
    }

    /// Waits at the gate. A waiter that goes away before is no longer counted.
    pub(super) async fn pass(&self) {
        let mut changes = self.state.subscribe();
        let _place = Place::take(self);
        // The sender lives as long as this gate.
        let _ = changes.wait_for(|state| state.open).await;
    }
}

/// One waiter's place at a gate.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Self {
        gate.state.send_modify(|state| {
            if !state.open {
                state.waiting += 1;
                state.open = state.opens_at.is_some_and(|count| state.waiting >= count);
            }
        });
        Self(gate)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.send_if_modified(|state| {
            if !state.open {
                state.waiting -= 1;
            }
            !state.open
        });
    }
}
