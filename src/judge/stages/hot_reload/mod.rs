//! 18 hot-reload: a file that has changed is taken while the program runs, whole or not at
//! all, and no request notices.

mod applies;
mod bad_file;
mod checks_end;
mod each_request;
mod file_goes;
mod in_flight;
mod keeps_state;
mod live;
mod no_failures;
mod seen_whole;
mod storm;
mod whole_file;
mod written;

use futures_util::FutureExt;

use super::starts::STARTS;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: ID,
    // Each of them waits for its program to look at its file, again and again.
    pace: Pace { side_by_side: 8, ..Pace::SIDE_BY_SIDE },
    checks: &[
        STARTS,
        Check {
            id: "applies",
            diagnoses: &[
                "change-not-seen",
                "later-change-not-seen",
                "looks-only-when-asked",
                live::ENDS,
            ],
            run: |scene| applies::applies(scene).boxed(),
        },
        Check {
            id: "however-written",
            diagnoses: &[
                "rename-not-seen",
                "later-rename-not-seen",
                "link-not-followed",
                live::ENDS,
            ],
            run: |scene| written::however_written(scene).boxed(),
        },
        Check {
            id: "whole-file",
            diagnoses: &[
                "change-not-seen",
                "routes-stay",
                "old-route-stays",
                "weights-stay",
                "limits-stay",
                live::ENDS,
            ],
            run: |scene| whole_file::whole_file(scene).boxed(),
        },
        Check {
            id: "in-flight",
            diagnoses: &[
                "in-flight-cut",
                live::RESTARTS,
                "reload-waits-for-requests",
                "removed-still-used",
                "change-not-seen",
                live::ENDS,
            ],
            run: |scene| in_flight::in_flight(scene).boxed(),
        },
        Check {
            id: "no-failures",
            diagnoses: &[
                live::RESTARTS,
                "connections-dropped",
                "no-route-for-a-moment",
                "no-backend-for-a-moment",
                "last-change-lost",
                live::ENDS,
            ],
            run: |scene| no_failures::no_failures(scene).boxed(),
        },
        Check {
            id: "seen-whole",
            diagnoses: &["half-of-each", "change-not-seen", live::ENDS],
            run: |scene| seen_whole::seen_whole(scene).boxed(),
        },
        Check {
            id: "bad-file",
            diagnoses: &[
                "bad-file-taken",
                "bad-file-empties",
                "bad-file-not-reported",
                "bad-file-stops-reloading",
                "ends-on-bad-file",
            ],
            run: |scene| bad_file::bad_file(scene).boxed(),
        },
        Check {
            id: "file-goes",
            diagnoses: &["ends-without-file", "empty-without-file", "file-not-back"],
            run: |scene| file_goes::file_goes(scene).boxed(),
        },
        Check {
            id: "keeps-state",
            diagnoses: &["breaker-forgotten", "limit-forgotten", "change-not-seen", live::ENDS],
            run: |scene| keeps_state::keeps_state(scene).boxed(),
        },
        Check {
            id: "checks-end",
            diagnoses: &[
                "old-checks-run-on",
                "removed-still-checked",
                "new-not-checked",
                "change-not-seen",
                live::ENDS,
            ],
            run: |scene| checks_end::checks_end(scene).boxed(),
        },
        Check {
            id: "not-per-request",
            diagnoses: &["read-for-each-request"],
            run: |scene| each_request::not_per_request(scene).boxed(),
        },
    ],
};

const ID: &str = "18-hot-reload";
