//! What a process holds: memory and descriptors (`proc_pid_status(5)`).

use std::thread;
use std::time::{Duration, Instant};

/// How long what is no longer used may take to be given back.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running process.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Its memory, in KiB.
    pub fn resident(self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    /// How many descriptors it has open.
    pub fn descriptors(self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).expect("it runs").count()
    }

    /// The soft and the hard limit of its descriptors.
    pub fn descriptor_limits(self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.0)).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        (numbers.next().expect("a soft limit"), numbers.next().expect("a hard limit"))
    }

    /// Waits until it has no more descriptors open than this, and says how many it
    /// has.
    pub fn wait_for_descriptors(self, most: usize) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let open = self.descriptors();
            if open <= most || Instant::now() > end {
                return open;
            }
            // Nobody tells when another process closes a descriptor.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lets this process open as many descriptors as it may.
pub fn raise_own_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("a soft limit up to the hard one");
}
