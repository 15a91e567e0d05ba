//! A backend that does what a check tells it to, and records what it received.
//!
//! A [`RecordingBackend`] speaks HTTP/1 on a port of 127.0.0.1. Its
//! [`Behaviour`] chooses an [`Act`] for each request: answer (whole, late, drip
//! by drip), hang, close, reset, or send any bytes at all. What arrives goes
//! into the [`Log`] of a [`Recorder`], which all the backends of one scene
//! share, so that their entries stand in one order.
//!
//! ```
//! # use std::time::{Duration, Instant};
//! # use pingora_lab::backends::recording::{Act, Recorder, RecordingBackend, Reply};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let recorder = Recorder::new();
//! let backend = RecordingBackend::start(&recorder, "backend 1")?;
//! backend.set_to(|_| Act::Answer(Reply::new(503).body("out of order")));
//! // ... send requests to backend.address() ...
//! let deadline = Instant::now() + Duration::from_millis(1);
//! let first = recorder.wait_for(deadline, |log| log.requests().next().cloned()).await;
//! # assert!(first.is_none());
//! # Ok(())
//! # }
//! ```

pub(crate) mod chunked;

mod act;
mod backend;
mod connection;
mod head;
mod log;
mod recorder;
mod reply;
mod socket;
mod wire;

pub use act::{Act, Afterwards, Behaviour, EarlyBehaviour, Gate};
pub use backend::RecordingBackend;
pub use log::{
    Closed, Connected, ConnectionId, Ending, Entry, Garbage, Log, PeerFinished, Received,
};
pub use recorder::Recorder;
pub use reply::{Framing, Reply};

#[cfg(test)]
mod tests;
