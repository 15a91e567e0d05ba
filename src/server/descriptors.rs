//! How many descriptors the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::Limits;

/// What is open beside the connections: listeners, watches, the log, health checks.
const OTHERS: u64 = 256;

/// Raises the limit as far as the system lets the process raise it. The soft limit
/// that a process is given is often 1024, for programs that use `select`; each client
/// here needs one descriptor and often another for its backend. Where even the hard
/// limit is too low for the clients of `limits`, the log says so.
pub fn raise_limit(limits: &Limits) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let needed = u64::from(limits.connections.get()) + OTHERS;
    // `None` is no limit.
    if let Some(allowed) = now.filter(|allowed| *allowed < needed) {
        warn!(target: "server", allowed, needed,
            "too few file descriptors are allowed for limits.connections, raise the hard limit \
             (ulimit -Hn, LimitNOFILE=) or lower it");
    }
}
