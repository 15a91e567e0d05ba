//! 14 timeouts-and-pooling: nobody is waited for longer than the file says, whoever is well is
//! waited for as long as it says, and connections to backends are used again.

mod late;
mod not_held;
mod patient;
mod reuse;
mod setup;
mod stale_connection;
mod stuck;

use futures_util::FutureExt;

use super::stale;
use super::starts::STARTS;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "hung-backend",
            diagnoses: &[
                "timeouts-not-known",
                "no-read-limit",
                "timeout-not-504",
                "one-limit-for-all",
                "ended-too-soon",
                "ended-too-late",
                "sent-again-after-timeout",
                "answer-of-another",
            ],
            run: |scene| late::hung_backend(scene).boxed(),
        },
        Check {
            id: "post-not-repeated",
            diagnoses: &[
                "timeouts-not-known",
                "no-read-limit",
                "timeout-not-504",
                "ended-too-soon",
                "ended-too-late",
                "sent-again-after-timeout",
                "post-sent-again",
            ],
            run: |scene| late::post_not_repeated(scene).boxed(),
        },
        Check {
            id: "stuck-body",
            diagnoses: &[
                "timeouts-not-known",
                "body-held",
                "cut-answer-looks-whole",
                "ended-too-soon",
                "ended-too-late",
            ],
            run: |scene| stuck::stuck_body(scene).boxed(),
        },
        Check {
            id: "patient",
            diagnoses: &[
                "timeouts-not-known",
                "download-cut",
                "slow-client-cut",
                "tunnel-cut",
                "next-request-cut",
            ],
            run: |scene| patient::patient(scene).boxed(),
        },
        Check {
            id: "slow-drip",
            diagnoses: &[
                "timeouts-not-known",
                "no-total-limit",
                "timeout-not-504",
                "ended-too-soon",
                "ended-too-late",
                "sent-again-after-timeout",
                "post-sent-again",
                "total-begins-anew",
            ],
            run: |scene| late::slow_drip(scene).boxed(),
        },
        Check {
            id: "others-not-held",
            diagnoses: &["timeouts-not-known", "others-held-up"],
            run: |scene| not_held::others_not_held(scene).boxed(),
        },
        Check {
            id: "reuses-connections",
            diagnoses: &[
                "timeouts-not-known",
                "connection-for-each-request",
                "connection-for-each-client",
            ],
            run: |scene| reuse::reuses_connections(scene).boxed(),
        },
        Check {
            id: "stale-connection",
            diagnoses: &[
                "timeouts-not-known",
                stale::NOT_RETRIED,
                stale::BLAMES_BACKEND,
                "idle-close-costs-request",
            ],
            run: |scene| stale_connection::stale_connection(scene).boxed(),
        },
    ],
};

const ID: &str = "14-timeouts-and-pooling";
