//! Lines on their way from requests to whoever writes them.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How many bytes of lines may wait. Past it, lines are dropped.
const MOST: usize = 16 * 1024 * 1024;

/// Lines on their way. A request appends its line, whole, to the others; the writer
/// takes all that are there at once. So the order of lines is that in which requests
/// ended, and a request never waits for the place that the lines go to.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Whether the writer waits for lines; while it writes or pauses, nobody needs to
    /// wake it.
    idle: bool,
    reopen: bool,
    ended: bool,
}

/// What the writer is to do after it has written the lines that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To come again.
    Lines,
    /// To open the place that lines go to anew.
    Reopen,
    /// To end: there will be no more lines.
    End,
}

// === impl Queue ===

impl Queue {
    /// Appends a line, which ends with a line end. It is lost where too many wait.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > MOST {
            drop(state);
            self.lose(1);
            return;
        }
        state.lines.extend_from_slice(line);
        if mem::take(&mut state.idle) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Takes all lines into `batch`, which is empty, once there are some or there is
    /// something else to do.
    pub fn take(&self, batch: &mut Vec<u8>) -> Next {
        let mut state = self.state.lock();
        while state.lines.is_empty() && !state.reopen && !state.ended {
            state.idle = true;
            self.wake.wait(&mut state);
        }
        state.idle = false;
        mem::swap(&mut state.lines, batch);
        // What was queued before goes to the place of before.
        match (mem::take(&mut state.reopen), state.ended) {
            (true, _) => Next::Reopen,
            (false, true) => Next::End,
            (false, false) => Next::Lines,
        }
    }

    /// Lets lines gather for a time, unless there is something else to do.
    pub fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.reopen && !state.ended {
            self.wake.wait_for(&mut state, time);
        }
    }

    /// Has the writer open the place that lines go to anew.
    pub fn reopen(&self) {
        self.state.lock().reopen = true;
        self.wake.notify_one();
    }

    /// Has the writer end when it has written what is there.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.wake.notify_one();
    }

    /// Notes that lines were lost.
    pub fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Relaxed);
    }

    /// How many lines were lost so far, because too many waited or because they could
    /// not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn all_lines_come_in_order_and_none_after_the_end() {
        let queue = Arc::new(Queue::default());
        let writer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let (mut all, mut batch) = (Vec::new(), Vec::new());
                loop {
                    let next = queue.take(&mut batch);
                    all.append(&mut batch);
                    if next == Next::End {
                        return String::from_utf8(all).unwrap();
                    }
                }
            })
        };
        let producers = ["a", "b"].map(|name| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                for number in 0..5000 {
                    queue.push(format!("{name}{number}\n").as_bytes());
                }
            })
        });
        for producer in producers {
            producer.join().unwrap();
        }
        queue.end();
        let all = writer.join().unwrap();
        for name in ["a", "b"] {
            let numbers = all.lines().filter_map(|line| line.strip_prefix(name));
            assert!(numbers.map(|n| n.parse::<u32>().unwrap()).eq(0..5000), "{name}");
        }
        assert_eq!(queue.lost(), 0);
    }

    #[test]
    fn what_nobody_takes_is_dropped_whole_and_counted() {
        let queue = Queue::default();
        let line = [b'x'; 1024 * 1024];
        for _ in 0..20 {
            queue.push(&line);
        }
        assert_eq!(queue.lost(), 4);
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch), Next::Lines);
        assert_eq!(batch.len(), MOST);
        queue.push(b"again\n");
        queue.reopen();
        batch.clear();
        assert_eq!((queue.take(&mut batch), &batch[..]), (Next::Reopen, &b"again\n"[..]));
        queue.end();
        batch.clear();
        assert_eq!(queue.take(&mut batch), Next::End);
    }
}
