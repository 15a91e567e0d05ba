//! The work that goes on beside the requests: names are resolved again, health is
//! checked, breakers move along, and backends warm up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::Pool;
use super::endpoint::Endpoint;
use crate::config::InitialState;

/// After a failed connection the backends are checked at once, but no more
/// often than this.
const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// In how many steps a backend that has come back gets its share.
const WARMING_STEPS: u32 = 20;

impl Pool {
    /// Checks all backends once, so that requests know whom they can go to.
    pub async fn check(&self) {
        join_all(self.members.iter().map(|m| m.addresses.run_health_check(true))).await;
        self.publish();
    }

    /// Goes on for ever, from after the first [`Self::check`].
    pub async fn care(&self) {
        tokio::join!(
            self.check_again_and_again(),
            self.resolve_again_and_again(),
            self.keep_appointments()
        );
    }

    /// Resolves all names again. A name that does not resolve keeps the
    /// addresses it had; each change is one line of the log.
    async fn resolve_again(&self) {
        let updates = self.members.iter().map(|member| async move {
            let before = member.addresses.get_backend();
            let result = member.addresses.update(|_| {}).await;
            (member, before, result)
        });
        let updates = join_all(updates).await;
        self.publish();
        for (member, before, result) in updates {
            let (pool, backend) = (self.config.name.as_str(), member.identity.label.as_str());
            let was_lost = member.lost.swap(result.is_err(), Ordering::Relaxed);
            let now = member.addresses.get_backend();
            member.errors.lock().retain(|at, _| now.iter().any(|b| b.addr.as_inet() == Some(at)));
            match result {
                Err(error) if !was_lost => {
                    let reason = crate::proxy::retry::cause(&error);
                    warn!(target: "discovery", pool, backend, reason,
                        "backend does not resolve, its last addresses are kept");
                }
                Ok(()) if was_lost || now != before => {
                    if self.config.health_check.initial == InitialState::Unhealthy {
                        // Nobody goes to a new address before it has been checked.
                        member.addresses.run_health_check(true).await;
                        self.publish();
                    } else {
                        self.suspect();
                    }
                    let addresses: Vec<_> = now.iter().map(|b| b.addr.to_string()).collect();
                    let addresses = addresses.join(" ");
                    let change = if now == before {
                        "backend resolves again"
                    } else {
                        "backend has new addresses"
                    };
                    info!(target: "discovery", pool, backend, addresses, "{change}");
                }
                _ => {}
            }
        }
    }

    async fn check_again_and_again(&self) {
        let mut last = Instant::now();
        let mut next = last + self.until_next_check();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    last = Instant::now();
                    self.check().await;
                    next = last + self.until_next_check();
                }
                () = self.suspicion.notified() => next = next.min(last + MIN_CHECK_INTERVAL),
            }
        }
    }

    /// One that is down is looked after more often, so that it is back soon.
    fn until_next_check(&self) -> Duration {
        let check = &self.config.health_check;
        let all_healthy = self.members.iter().all(|m| m.health().iter().all(|(_, h)| *h));
        let interval = if all_healthy {
            check.interval.get()
        } else {
            check.interval.get().min(check.unhealthy_interval.get())
        };
        let jitter = check.jitter.get() * (rand::random::<f64>() * 2.0 - 1.0);
        interval.mul_f64(1.0 + jitter)
    }

    async fn resolve_again_and_again(&self) {
        loop {
            sleep(self.config.resolve_interval.get()).await;
            self.resolve_again().await;
        }
    }

    /// Breakers that are due become half-open, and backends that warm up get a
    /// little more.
    async fn keep_appointments(&self) {
        loop {
            let next = self.next_appointment();
            tokio::select! {
                () = async { match next { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {
                    self.move_along();
                }
                () = self.appointment.notified() => {}
            }
        }
    }

    fn next_appointment(&self) -> Option<Instant> {
        let endpoints = self.endpoints.lock();
        let breakers = endpoints.iter().filter_map(|(_, e)| e.breaker.half_opens_at());
        let breakers = breakers.map(Instant::from_std).min();
        let warming = self.config.slow_start.and_then(|slow_start| {
            let any = endpoints.iter().any(|(_, e)| e.warming_since.lock().is_some());
            any.then(|| Instant::now() + slow_start.get() / WARMING_STEPS)
        });
        breakers.into_iter().chain(warming).min()
    }

    /// Lets one request at a time through breakers that are due, and has what has warmed up
    /// since count.
    fn move_along(&self) {
        let now = Instant::now().into_std();
        let due: Vec<Arc<Endpoint>> = {
            let endpoints = self.endpoints.lock();
            let due = endpoints.iter().filter(|(_, e)| e.breaker.half_open(now));
            due.map(|(_, endpoint)| Arc::clone(endpoint)).collect()
        };
        self.publish();
        for endpoint in due {
            info!(target: "breaker", pool = self.config.name, backend = endpoint.identity.label,
                address = %endpoint.address, "the circuit breaker is half-open, one request may try");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::proxy::Metrics;

    fn pool(check: &str) -> Arc<Pool> {
        let text = format!("health_check = {{ {check} }}\n[[backend]]\naddress = '127.0.0.1:9'\n");
        let config = toml::from_str(&text).unwrap();
        Pool::new(&config, &config::Timeouts::default(), None, &Metrics::off())
    }

    #[test]
    fn checks_are_spread_over_the_jitter_and_no_further() {
        let jittered = pool("interval = '10s', jitter = 0.1");
        let waits: Vec<_> = (0..500).map(|_| jittered.until_next_check().as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (9.0..=11.0).contains(wait)), "{waits:?}");
        let [early, late] = [9.5, 10.5].map(|at| waits.iter().filter(|wait| **wait < at).count());
        assert!((60..190).contains(&early) && (310..440).contains(&late), "{early}, {late}");
        let exact = pool("interval = '10s', jitter = 0");
        assert!((0..20).all(|_| exact.until_next_check() == Duration::from_secs(10)));
    }
}
