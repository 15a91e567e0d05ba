//! 13 consistent-hashing: the value of a header field decides on the backend. Each key
//! keeps its backend, and moves only if that one is gone.

mod even;
mod keyed;
mod leaves;
mod same;

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
            id: "same-key",
            diagnoses: &[
                "key-ignored",
                "more-than-the-key",
                "client-in-the-key",
                "one-home-for-all",
                "another-home-each-run",
                "file-order-decides",
            ],
            run: |scene| same::same_key(scene).boxed(),
        },
        Check {
            id: "even",
            diagnoses: &["backend-without-keys", "uneven-keys"],
            run: |scene| even::even(scene).boxed(),
        },
        Check {
            id: "only-its-keys-move",
            diagnoses: &["keys-lost", "others-move-too", "one-heir"],
            run: |scene| leaves::only_its_keys_move(scene).boxed(),
        },
        Check {
            id: "keys-return",
            diagnoses: &["never-comes-back", "keys-stay-away", "other-homes-after-return"],
            run: |scene| leaves::keys_return(scene).boxed(),
        },
    ],
};

const ID: &str = "13-consistent-hashing";
