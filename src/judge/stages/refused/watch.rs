//! Somebody who tries to connect, again and again: a listener that is there for a
//! moment is found by whoever comes at that moment.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// A try at an address of this machine is decided at once; one that is not has found
/// a listener whose queue is full.
const A_TRY: Duration = Duration::from_millis(200);

/// The pause behind the tries of one round: without any they would take a processor
/// from the program that they wait for.
const PAUSE: Duration = Duration::from_micros(50);

/// A thread that tries some addresses in turn, with hardly a pause.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    /// The address on which somebody listened.
    thread: Option<JoinHandle<Option<SocketAddr>>>,
}

// === impl Watch ===

impl Watch {
    /// Begins.
    pub fn begin(addresses: Vec<SocketAddr>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let connects =
                    |address: &&SocketAddr| TcpStream::connect_timeout(address, A_TRY).is_ok();
                while !over.load(Relaxed) {
                    if let Some(address) = addresses.iter().find(connects) {
                        return Some(*address);
                    }
                    std::thread::sleep(PAUSE);
                }
                None
            }
        });
        Self { over, thread: Some(thread) }
    }

    /// Ends: the first address on which somebody listened meanwhile.
    pub fn end(mut self) -> Option<SocketAddr> {
        self.over.store(true, Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok().flatten())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::backends::ports;

    #[test]
    fn a_listener_that_comes_is_found_and_one_that_never_came_is_not() {
        let (comes, never) = (ports::free().unwrap(), ports::free().unwrap());
        let watch = Watch::begin(vec![never, comes]);
        let listener = TcpListener::bind(comes).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !watch.thread.as_ref().unwrap().is_finished() {
            assert!(Instant::now() < deadline, "never found");
            std::thread::yield_now();
        }
        drop(listener);
        assert_eq!(watch.end(), Some(comes));
        assert_eq!(Watch::begin(vec![never]).end(), None);
    }
}
