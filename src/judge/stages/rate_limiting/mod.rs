//! 10 rate-limiting: so many requests a second for each client address, and who asks for
//! more is answered 429 without a backend being troubled.

mod bad_limits;
mod exact;
mod limited;
mod memory;
mod quota;
mod refusal;
mod whose;

use futures_util::FutureExt;

use super::starts::STARTS;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "10-rate-limiting",
    // Three of its checks wait for more than a second each.
    pace: Pace { side_by_side: 5, ..Pace::SIDE_BY_SIDE },
    checks: &[
        STARTS,
        Check {
            id: "exact-limit",
            diagnoses: &[
                "not-limited",
                "key-with-port",
                "held-back",
                "limit-too-high",
                "limit-too-low",
                "burst-ignored",
                "window-doubles",
                "refusals-count",
            ],
            run: |scene| exact::exact_limit(scene).boxed(),
        },
        Check {
            id: "recovers",
            diagnoses: &["not-limited", "held-back", "never-recovers", "recovers-in-part"],
            run: |scene| exact::recovers(scene).boxed(),
        },
        Check {
            id: "answers-429",
            diagnoses: &[
                "not-limited",
                "held-back",
                "refused-otherwise",
                "retry-after-missing",
                "retry-after-untrue",
            ],
            run: |scene| refusal::answers_429(scene).boxed(),
        },
        Check {
            id: "backend-untouched",
            diagnoses: &["not-limited", "held-back", "backend-asked-all-the-same"],
            run: |scene| refusal::backend_untouched(scene).boxed(),
        },
        Check {
            id: "other-address",
            diagnoses: &["not-limited", "held-back", "others-pay", "forgotten-too-soon"],
            run: |scene| whose::other_address(scene).boxed(),
        },
        Check {
            id: "spoof-fails",
            diagnoses: &["not-limited", "held-back", "header-trusted", "named-pays"],
            run: |scene| whose::spoof_fails(scene).boxed(),
        },
        Check {
            id: "as-routes-say",
            diagnoses: &[
                "not-limited",
                "limits-every-route",
                "limits-share",
                "counts-by-route",
                "one-limit-asked",
            ],
            run: |scene| whose::as_routes_say(scene).boxed(),
        },
        Check {
            id: "at-once",
            diagnoses: &["counted-too-late", "limit-too-low"],
            run: |scene| exact::at_once(scene).boxed(),
        },
        Check {
            id: "bounded-memory",
            diagnoses: &["memory-grows", "newcomers-refused", "panics-when-full"],
            run: |scene| memory::bounded_memory(scene).boxed(),
        },
        Check {
            id: "bad-limit",
            diagnoses: &["bad-limit-accepted"],
            run: |scene| bad_limits::bad_limit(scene).boxed(),
        },
    ],
};
