use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config;
use crate::proxy::Metrics;
use crate::proxy::pool::{BreakerState, NoBackend, Target};

/// A pool whose backends are taken for healthy; nobody connects to them.
async fn pool(keys: &str, backends: u8) -> Arc<Pool> {
    let backends: String = (1..=backends)
        .map(|n| format!("[[backend]]\nname = 'b{n}'\naddress = '127.0.0.{n}:9'\n"))
        .collect();
    let text = format!("health_check = {{ initial = 'healthy' }}\n{keys}\n{backends}");
    let config = toml::from_str(&text).unwrap();
    let pool = Pool::new(&config, &config::Timeouts::default(), None, &Metrics::off());
    pool.resolve().await.unwrap();
    pool.publish();
    pool
}

fn in_flight(pool: &Pool) -> u32 {
    pool.state().iter().flat_map(|backend| &backend.addresses).map(|a| a.in_flight).sum()
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_place_is_free_again_however_its_request_ends() {
    let pool = pool("max_requests = 1\nqueue = { length = 0 }", 1).await;
    for end in 0..4 {
        let mut ticket = pool.enter(Target::Any, b"", &[], LONG).await.unwrap();
        assert_eq!(in_flight(&pool), 1);
        let full = pool.enter(Target::Any, b"", &[], LONG).await.err();
        assert_eq!(full, Some(NoBackend::Overloaded));
        match end {
            0 => ticket.succeeded(),
            1 => ticket.failed(),
            2 => {
                ticket.succeeded();
                ticket.failed();
            }
            _ => {}
        }
        drop(ticket);
        assert_eq!(in_flight(&pool), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_backend_does_not_stand_in_the_way_of_another() {
    let pool = pool("max_requests = 1\nqueue = { length = 10, timeout = '10s' }", 2).await;
    let [a, b] = [Target::Named(0), Target::Named(1)];
    let hold_a = pool.enter(a, b"", &[], LONG).await.unwrap();
    let hold_b = pool.enter(b, b"", &[], LONG).await.unwrap();
    let wait = |target| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.enter(target, b"", &[], LONG).await })
    };
    let first = wait(a);
    while pool.queued() < 1 {
        tokio::task::yield_now().await;
    }
    let second = wait(b);
    while pool.queued() < 2 {
        tokio::task::yield_now().await;
    }
    drop(hold_b);
    assert!(second.await.unwrap().is_ok(), "its backend is free");
    assert_eq!(pool.queued(), 1);
    drop(hold_a);
    assert!(first.await.unwrap().is_ok());
}

/// Requests that succeed, fail, fail after they have succeeded, say nothing, or go
/// away while they wait; breakers open, half-open and are reset beside them.
#[test]
fn whatever_happens_nobody_is_left_in_flight() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pool = pool(
            "max_requests = 2\nqueue = { length = 8, timeout = '20ms' }\n\
             circuit_breaker = { consecutive_failures = 3, open_for = '1ms' }",
            4,
        )
        .await;
        let care = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.care().await }
        });
        let most = Arc::new(AtomicU32::new(0));
        let requests: Vec<_> = (0..24)
            .map(|seed| {
                let (pool, most) = (Arc::clone(&pool), Arc::clone(&most));
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(seed);
                    for _ in 0..400 {
                        let target = match random.random_range(0..6) {
                            4.. => Target::Any,
                            index => Target::Named(index),
                        };
                        let enter = pool.enter(target, b"", &[], LONG);
                        let entered = if random.random_ratio(1, 8) {
                            tokio::select! {
                                biased;
                                entered = enter => entered,
                                () = tokio::task::yield_now() => continue,
                            }
                        } else {
                            enter.await
                        };
                        let Ok(mut ticket) = entered else { continue };
                        most.fetch_max(ticket.endpoint().in_flight(), Ordering::Relaxed);
                        if random.random() {
                            tokio::task::yield_now().await;
                        }
                        match random.random_range(0..8) {
                            0..2 => ticket.failed(),
                            2 => {
                                ticket.succeeded();
                                ticket.failed();
                            }
                            3 => {}
                            _ => ticket.succeeded(),
                        }
                    }
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        care.abort();
        assert_eq!((in_flight(&pool), pool.queued()), (0, 0));
        assert!(most.load(Ordering::Relaxed) <= 2, "no more than they may have");
        let breakers = pool.state().into_iter().flat_map(|b| b.addresses).map(|a| a.breaker);
        let ejected = breakers.filter(|breaker| *breaker != BreakerState::Closed).count();
        assert!(ejected <= 2, "{ejected} of 4");
    });
}
