//! 07 path-routing: the host, then the first segment of the path decide which pool
//! gets a request; the request goes on as it came, and each pool stands for itself.

mod apart;
mod boundary;
mod dots;
mod forwarding;
mod hosts;
mod pools;

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
            id: "segment-boundary",
            diagnoses: &[
                "pool-out-of-reach",
                "prefix-not-routed",
                "default-not-routed",
                "prefix-alone-missed",
                "query-hides-prefix",
                "not-a-segment",
                "prefix-anywhere",
                "path-case-ignored",
            ],
            run: |scene| boundary::segment_boundary(scene).boxed(),
        },
        Check {
            id: "query-and-encoding",
            diagnoses: &[
                "wrong-pool",
                "prefix-lost",
                "query-lost",
                "encoding-changed",
                "slashes-changed",
            ],
            run: |scene| forwarding::query_and_encoding(scene).boxed(),
        },
        Check {
            id: "host-matching",
            diagnoses: &[
                "host-never-matches",
                "host-with-port",
                "host-in-capitals",
                "path-before-host",
            ],
            run: |scene| hosts::host_matching(scene).boxed(),
        },
        Check {
            id: "dot-segments",
            diagnoses: &[
                "dot-segments-ignored",
                "single-dots-ignored",
                "encoded-dots-ignored",
                "encoded-letters-ignored",
                "decoded-twice",
                "dots-resolved-wrongly",
                "dots-in-a-name",
                "dots-refused",
                "dots-forwarded-otherwise",
            ],
            run: |scene| dots::dot_segments(scene).boxed(),
        },
        Check {
            id: "unknown-host",
            diagnoses: &[
                "unknown-host-refused",
                "host-ends-with",
                "host-begins-with",
                "forwarded-host-trusted",
                "unknown-host-elsewhere",
            ],
            run: |scene| hosts::unknown_host(scene).boxed(),
        },
        Check {
            id: "own-turns",
            diagnoses: &["pool-uses-one", "turns-shared", "pool-uneven"],
            run: |scene| apart::own_turns(scene).boxed(),
        },
        Check {
            id: "own-failures",
            diagnoses: &[
                "pool-not-retried",
                "falls-to-another-pool",
                "pool-down-not-503",
                "others-fail-too",
                "pool-stays-down",
                "post-replayed",
            ],
            run: |scene| apart::own_failures(scene).boxed(),
        },
        Check {
            id: "own-checks",
            diagnoses: &["health-check-never-runs", "pool-not-checked", "interval-ignored"],
            run: |scene| apart::own_checks(scene).boxed(),
        },
    ],
};

const ID: &str = "07-path-routing";
