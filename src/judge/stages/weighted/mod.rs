//! 11 weighted: backends take turns by their weights, exactly over a cycle, and without
//! bursts; those that are left share by theirs.

mod back;
mod bad_weights;
mod cycle;
mod down;
mod order;
mod parallel;
mod setup;
mod smooth;
mod weights;

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
            id: "exact-cycle",
            diagnoses: &[
                "weight-not-known",
                "another-pool",
                "weights-ignored",
                "weights-mixed-up",
                "weight-off-by-one",
                "default-weight",
                "one-gets-all",
                "some-get-nothing",
                "drawn-by-weight",
                "cycle-inexact",
                "pools-share-turns",
            ],
            run: |scene| cycle::exact_cycle(scene).boxed(),
        },
        Check {
            id: "smooth",
            diagnoses: &["weight-not-known", "another-pool", "bursts", "clumps"],
            run: |scene| smooth::smooth(scene).boxed(),
        },
        Check {
            id: "in-parallel",
            diagnoses: &[
                "weight-not-known",
                "another-pool",
                "one-at-a-time",
                "inexact-in-parallel",
            ],
            run: |scene| parallel::in_parallel(scene).boxed(),
        },
        Check {
            id: "heavy-down",
            diagnoses: &[
                "weight-not-known",
                "another-pool",
                "dead-still-chosen",
                "survivor-left-out",
                "one-inherits-all",
                "survivors-unweighted",
                "survivors-uneven",
            ],
            run: |scene| down::heavy_down(scene).boxed(),
        },
        Check {
            id: "heavy-back",
            diagnoses: &[
                "weight-not-known",
                "another-pool",
                "dead-still-chosen",
                "never-comes-back",
                "catches-up",
                "inexact-after-return",
            ],
            run: |scene| back::heavy_back(scene).boxed(),
        },
        Check {
            id: "zero-refused",
            diagnoses: &["zero-accepted", "wrong-weight-accepted"],
            run: |scene| bad_weights::zero_refused(scene).boxed(),
        },
    ],
};

const ID: &str = "11-weighted";
