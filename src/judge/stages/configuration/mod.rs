//! 09 configuration: what the file of `LAB_CONFIG` says is done; a file that can't be
//! used is refused, with its name and the line, before anything listens.

mod bad_files;
mod followed;
mod nothing_listens;
mod refusals;

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
            id: "starts-as-configured",
            diagnoses: &[
                "listener-missing",
                "listens-beside",
                "variables-win",
                "order-decides",
                "route-not-followed",
                "backends-left-out",
                "default-invented",
                "file-interval-ignored",
            ],
            run: |scene| followed::starts_as_configured(scene).boxed(),
        },
        Check {
            id: "unknown-key",
            diagnoses: &["unknown-key-accepted"],
            run: |scene| refusals::unknown_key(scene).boxed(),
        },
        Check {
            id: "wrong-type",
            diagnoses: &["wrong-value-accepted"],
            run: |scene| refusals::wrong_type(scene).boxed(),
        },
        Check {
            id: "syntax-error",
            diagnoses: &["syntax-error-hidden"],
            run: |scene| refusals::syntax_error(scene).boxed(),
        },
        Check {
            id: "missing-file",
            diagnoses: &["missing-file-hidden"],
            run: |scene| refusals::missing_file(scene).boxed(),
        },
        Check {
            id: "empty-list",
            diagnoses: &["empty-list-accepted"],
            run: |scene| refusals::empty_list(scene).boxed(),
        },
        Check {
            id: "unknown-pool",
            diagnoses: &["unknown-pool-accepted"],
            run: |scene| refusals::unknown_pool(scene).boxed(),
        },
        Check {
            id: "nothing-listens",
            diagnoses: &[],
            run: |scene| nothing_listens::nothing_listens(scene).boxed(),
        },
    ],
};

const ID: &str = "09-configuration";
