//! 19 graceful-upgrade: on SIGTERM what is under way is finished, and on an upgrade another
//! process takes over the sockets, so that nobody notices.

mod bad_shutdown;
mod farewell;
mod hand_over;
mod in_time;
mod load;
mod setup;
mod slow_answers;
mod successor;

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
            id: "slow-answers-finish",
            diagnoses: &["shutdown-not-known", "exits-at-once", "answer-cut", "exit-not-zero"],
            run: |scene| slow_answers::slow_answers_finish(scene).boxed(),
        },
        Check {
            id: "refuses-new",
            diagnoses: &["shutdown-not-known", "exits-at-once", "answer-cut", "still-accepts"],
            run: |scene| slow_answers::refuses_new(scene).boxed(),
        },
        Check {
            id: "keepalive-closed",
            diagnoses: &[
                "shutdown-not-known",
                "exits-at-once",
                "answer-cut",
                "idle-kept-open",
                "not-told-to-close",
            ],
            run: |scene| farewell::keepalive_closed(scene).boxed(),
        },
        Check {
            id: "exits-in-time",
            diagnoses: &[
                "shutdown-not-known",
                "waits-past-limit",
                "cut-too-soon",
                "waits-for-nothing",
                "idle-holds-exit",
                "exit-not-zero",
            ],
            run: |scene| in_time::exits_in_time(scene).boxed(),
        },
        Check {
            id: "hand-over",
            diagnoses: &[
                "shutdown-not-known",
                "successor-ends",
                "does-not-take-over",
                "socket-elsewhere",
                "another-socket",
                "gap",
                "old-process-stays",
                "old-process-cuts",
                "answered-by-old",
                "exit-not-zero",
            ],
            run: |scene| hand_over::hand_over(scene).boxed(),
        },
        Check {
            id: "no-failures",
            diagnoses: &[
                "shutdown-not-known",
                "successor-ends",
                "does-not-take-over",
                "socket-elsewhere",
                "another-socket",
                "gap",
                "old-process-stays",
                "request-lost",
                "connections-dropped",
                "errors-meanwhile",
            ],
            run: |scene| load::no_failures(scene).boxed(),
        },
        Check {
            id: "bad-shutdown",
            diagnoses: &["shutdown-not-known", "bad-shutdown-accepted"],
            run: |scene| bad_shutdown::bad_shutdown(scene).boxed(),
        },
    ],
};

const ID: &str = "19-graceful-upgrade";
