//! 12 circuit-breaker: a backend that answers and fails is left alone for a while, and is
//! tried again by one request.

mod counts;
mod opens;
mod setup;
mod trial;

use futures_util::FutureExt;

use super::starts::STARTS;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "opens",
            diagnoses: &[
                "breaker-not-known",
                "all-cut-off",
                "opens-too-soon",
                "opens-too-late",
                "never-opens",
                "broken-connections-not-counted",
            ],
            run: |scene| opens::opens(scene).boxed(),
        },
        Check {
            id: "open-sends-nothing",
            diagnoses: &["breaker-not-known", "all-cut-off", "never-opens", "open-lets-through"],
            run: |scene| opens::open_sends_nothing(scene).boxed(),
        },
        Check {
            id: "one-trial",
            diagnoses: &[
                "breaker-not-known",
                "all-cut-off",
                "never-opens",
                "never-half-open",
                "herd-in-half-open",
            ],
            run: |scene| trial::one_trial(scene).boxed(),
        },
        Check {
            id: "closes",
            diagnoses: &[
                "breaker-not-known",
                "all-cut-off",
                "never-opens",
                "never-half-open",
                "never-closes",
            ],
            run: |scene| trial::closes(scene).boxed(),
        },
        Check {
            id: "opens-again",
            diagnoses: &[
                "breaker-not-known",
                "all-cut-off",
                "never-opens",
                "never-half-open",
                "trial-does-not-open",
                "tried-only-once",
            ],
            run: |scene| trial::opens_again(scene).boxed(),
        },
        Check {
            id: "client-errors",
            diagnoses: &["breaker-not-known", "all-cut-off", "counts-client-errors"],
            run: |scene| counts::client_errors(scene).boxed(),
        },
        Check {
            id: "success-resets",
            diagnoses: &["breaker-not-known", "all-cut-off", "success-does-not-reset"],
            run: |scene| counts::success_resets(scene).boxed(),
        },
        Check {
            id: "others-unaffected",
            diagnoses: &[
                "breaker-not-known",
                "all-cut-off",
                "never-opens",
                "others-uneven",
                "other-pool-affected",
            ],
            run: |scene| opens::others_unaffected(scene).boxed(),
        },
    ],
};

const ID: &str = "12-circuit-breaker";
