//! The recording backend of the library, for tests that block.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use pingora_lab::backends::recording::{Log, Received, Recorder, RecordingBackend};
use tokio::runtime::Runtime;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A backend that keeps every byte of a request, broken ones included.
pub struct Recording {
    backend: RecordingBackend,
    recorder: Recorder,
    runtime: Runtime,
}

impl Recording {
    /// Answers every request with 200 and `recorded`.
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let recorder = Recorder::new();
        let backend = {
            let _inside = runtime.enter();
            RecordingBackend::start(&recorder, "recorded").expect("a free port")
        };
        Self { backend, recorder, runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// The requests so far, those that broke off included.
    pub fn requests(&self) -> Vec<Received> {
        self.recorder.read(|log| log.requests().cloned().collect())
    }

    /// Bytes that came so far, of whatever.
    pub fn bytes(&self) -> u64 {
        self.recorder.read(|log| log.connections().map(|one| one.bytes_received).sum())
    }

    /// Waits until `find` finds something in the log.
    pub fn wait<T>(&self, find: impl FnMut(&Log) -> Option<T>) -> T {
        let found = self.recorder.wait_for(Instant::now() + PATIENCE, find);
        // A test that runs on a runtime of its own waits here just the same.
        let found = tokio::task::block_in_place(|| self.runtime.block_on(found));
        found.unwrap_or_else(|| panic!("it does not come: {:#?}", self.recorder.log()))
    }

    /// Waits for the request with this path, which may not be whole yet.
    pub fn wait_for(&self, path: &str) -> Received {
        self.wait(|log| log.requests().find(|request| request.path() == path).cloned())
    }

    /// Waits until the peer has left the connection of a request.
    pub fn wait_until_left(&self, request: &Received) {
        self.wait(|log| log.peer_left(request.connection));
    }
}

impl Deref for Recording {
    type Target = RecordingBackend;

    fn deref(&self) -> &RecordingBackend {
        &self.backend
    }
}
