//! 17 metrics: what the program counts is what has happened, and is shown to whoever
//! looks after it, in a form that does not grow with what clients send.

mod bad_admin;
mod counts;
pub mod exposition;
mod failures;
mod histogram;
mod labels;
pub mod measured;
mod not_public;
mod parses;

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
            id: "parses",
            diagnoses: &[
                "no-admin-port",
                "metrics-not-found",
                "content-type-wrong",
                "line-not-parsed",
                "type-line-wrong",
                "metric-in-pieces",
                "series-twice",
                "metric-missing",
                "gauge-for-counter",
                "kind-wrong",
            ],
            run: |scene| parses::parses(scene).boxed(),
        },
        Check {
            id: "counts-match",
            diagnoses: &[
                "nothing-counted",
                "label-missing",
                "scrapes-counted",
                "counted-twice",
                "backend-wrong",
                "status-wrong",
                "counts-wrong",
                "count-goes-down",
            ],
            run: |scene| counts::counts_match(scene).boxed(),
        },
        Check {
            id: "failures-counted",
            diagnoses: &[
                "retry-counted-twice",
                "retry-at-the-wrong-backend",
                "failure-not-counted",
                "own-answer-not-counted",
                "abort-not-counted",
                "failure-counted-twice",
            ],
            run: |scene| failures::failures_counted(scene).boxed(),
        },
        Check {
            id: "histogram-sums",
            diagnoses: &[
                "histogram-misses-requests",
                "buckets-wrong",
                "duration-in-another-unit",
                "duration-without-body",
                "duration-too-short",
                "duration-too-long",
            ],
            run: |scene| histogram::histogram_sums(scene).boxed(),
        },
        Check {
            id: "not-public",
            diagnoses: &[
                "metrics-public",
                "metrics-path-taken",
                "admin-open-to-all",
                "admin-forwards",
            ],
            run: |scene| not_public::not_public(scene).boxed(),
        },
        Check {
            id: "bounded-labels",
            diagnoses: &["path-in-labels", "host-in-labels", "method-in-labels", "labels-grow"],
            run: |scene| labels::bounded_labels(scene).boxed(),
        },
        Check {
            id: "bad-admin",
            diagnoses: &["bad-admin-accepted"],
            run: |scene| bad_admin::bad_admin(scene).boxed(),
        },
    ],
};

const ID: &str = "17-metrics";

/// The counter of requests that have ended.
const REQUESTS: &str = "pingora_lab_requests_total";

/// The histogram of the time that they took.
const DURATION: &str = "pingora_lab_request_duration_seconds";
