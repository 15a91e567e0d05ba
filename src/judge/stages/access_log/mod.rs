//! 08 access-log: one line of JSON on the standard output for each request, whatever
//! became of it, true and fit to be shown.

mod fields;
mod forged;
pub mod lines;
mod once;
mod secrets;
mod time;

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
            id: "every-request-once",
            diagnoses: &[
                "nothing-logged",
                "line-missing",
                "error-answer-not-logged",
                "failure-not-logged",
                "abort-not-logged",
                "line-twice",
                "line-for-each-try",
            ],
            run: |scene| once::every_request_once(scene).boxed(),
        },
        Check {
            id: "fields",
            diagnoses: &[
                "not-json",
                "fields-nested",
                "field-missing",
                "field-mistyped",
                "query-not-logged",
                "field-wrong",
                "backend-of-first-try",
                "backend-invented",
                "id-repeated",
                "id-of-the-client",
                "id-not-sent-on",
            ],
            run: |scene| fields::fields(scene).boxed(),
        },
        Check {
            id: "no-forged-lines",
            diagnoses: &["line-broken", "line-forged", "path-altered"],
            run: |scene| forged::no_forged_lines(scene).boxed(),
        },
        Check {
            id: "no-secrets",
            diagnoses: &["secret-logged"],
            run: |scene| secrets::no_secrets(scene).boxed(),
        },
        Check {
            id: "plausible-time",
            diagnoses: &[
                "duration-in-another-unit",
                "duration-without-body",
                "duration-too-short",
                "duration-too-long",
            ],
            run: |scene| time::plausible_time(scene).boxed(),
        },
    ],
};

const ID: &str = "08-access-log";
