//! 22 graduation: one program in its maker's own layout passes all checks of all stages,
//! stays right while everything around it fails, and takes no more than its share of the
//! machine.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `performance` | what it answers and takes beside `serve`, as a share |
//! | `whole` | all checks of an earlier stage as one |
//! | `faults` | a load goes on while everything around the program fails |

mod faults;
mod performance;
mod whole;

use std::time::Duration;

use futures_util::FutureExt;

use super::starts::STARTS;
use super::{
    access_log, authentication, circuit_breaker, configuration, consistent_hashing, failures,
    first_proxy, graceful_upgrade, health_checks, hot_reload, metrics, path_routing, rate_limiting,
    request_headers, response_headers, round_robin, timeouts, tls_termination, weighted,
};
use crate::judge::stage::{Check, Pace, Stage};
use whole::whole;

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    // One after the other: each stage has checks enough to keep a small machine at work, and
    // what the program takes is measured.
    pace: Pace { side_by_side: 1, limit: Duration::from_secs(240) },
    checks: &[
        STARTS,
        whole!(first_proxy::STAGE),
        whole!(round_robin::STAGE),
        whole!(health_checks::STAGE),
        whole!(request_headers::STAGE),
        whole!(response_headers::STAGE),
        whole!(failures::STAGE),
        whole!(path_routing::STAGE),
        whole!(access_log::STAGE),
        whole!(configuration::STAGE),
        whole!(rate_limiting::STAGE),
        whole!(weighted::STAGE),
        whole!(circuit_breaker::STAGE),
        whole!(consistent_hashing::STAGE),
        whole!(timeouts::STAGE),
        whole!(tls_termination::STAGE),
        whole!(authentication::STAGE),
        whole!(metrics::STAGE),
        whole!(hot_reload::STAGE),
        whole!(graceful_upgrade::STAGE),
        Check {
            id: "under-faults",
            diagnoses: faults::DIAGNOSES,
            run: |scene| faults::under_faults(scene).boxed(),
        },
        Check {
            id: "performance",
            diagnoses: performance::DIAGNOSES,
            run: |scene| performance::performance(scene).boxed(),
        },
    ],
};

const ID: &str = "22-graduation";
