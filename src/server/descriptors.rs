//! How many descriptors the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::Limits;

/// What is open beside the connections: listeners, watches, the log, health checks.
const OTHERS: u64 = 256;

/// Raises the limit as far as the system lets the process raise it, and says for how
/// many clients that is enough, which stays as it is if it is asked again. The soft limit that a process is given is often 1024,
/// for programs that use `select`. Where even the hard limit is too low for the clients
/// of `limits`, the log says so, but not where nobody has named their number and it is
/// nearly reached.
pub fn raise_limit(limits: &Limits) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // `None` is no limit.
    let Some(allowed) = now else { return u32::MAX };
    let (clients, wanted) = (clients(allowed), limits.connections.get());
    let named = wanted != Limits::default().connections.get();
    if clients < wanted && (named || allowed < u64::from(wanted) + OTHERS) {
        warn!(target: "server", allowed, clients, wanted,
            needed = 2 * u64::from(wanted) + OTHERS,
            "fewer clients are let in than limits.connections says, since too few file descriptors \
             are allowed: raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower that number");
    }
    clients
}

/// For how many clients that many descriptors are enough. Each has a second one in
/// reserve, for its backend: clients who took them all, and be it by doing nothing,
/// would have every request fail.
fn clients(allowed: u64) -> u32 {
    let others = OTHERS.min(allowed / 2);
    u32::try_from((allowed - others) / 2).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_descriptor_in_reserve() {
        assert_eq!(clients(20_256), 10_000);
        assert_eq!(clients(1024), 384);
        // With very few, half is for what is not a client.
        assert_eq!([clients(40), clients(4), clients(0)], [10, 1, 1]);
        assert_eq!(clients(u64::MAX), u32::MAX);
    }
}
