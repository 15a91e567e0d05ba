//! 16 authentication: who shows a right password or a right token is let in, and the backend
//! is told who it is. Whoever is not is answered 401, and no backend hears of it.

mod bad_policies;
mod broken;
mod claims;
mod doors;
mod hashing;
mod house;
mod identity;
mod issuer;
mod nothing;
mod passwords;
mod shown;
mod signatures;
mod untouched;
mod unwritten;
mod users;

use futures_util::FutureExt;

use super::starts::STARTS;
use crate::judge::stage::{Check, Pace, Stage};

/// The stage.
pub const STAGE: Stage = Stage {
    id: "16-authentication",
    pace: Pace::SIDE_BY_SIDE,
    checks: &[
        STARTS,
        Check {
            id: "good-password",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "colon-in-password",
                "not-only-ascii",
                "scheme-by-the-letter",
                "identity-missing",
                "identity-wrong",
                "credential-passed-on",
            ],
            run: |scene| passwords::good_password(scene).boxed(),
        },
        Check {
            id: "good-token",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "list-of-audiences",
                "leeway-too-short",
                "not-only-ascii",
                "scheme-by-the-letter",
                "identity-missing",
                "identity-wrong",
                "credential-passed-on",
            ],
            run: |scene| claims::good_token(scene).boxed(),
        },
        Check {
            id: "no-credentials",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "good-token-refused",
                "let-in-without",
                "any-policy-will-do",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| nothing::no_credentials(scene).boxed(),
        },
        Check {
            id: "wrong-password",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "wrong-password-passes",
                "password-in-part",
                "hash-as-password",
                "unknown-user-passes",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| passwords::wrong_password(scene).boxed(),
        },
        Check {
            id: "others-not-held-up",
            diagnoses: &["asked-everywhere", "hashing-holds-up-others"],
            run: |scene| hashing::others_not_held_up(scene).boxed(),
        },
        Check {
            id: "expired",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "exp-unchecked",
                "leeway-too-long",
                "exp-not-needed",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| claims::expired(scene).boxed(),
        },
        Check {
            id: "not-yet-valid",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "nbf-unchecked",
                "leeway-too-long",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| claims::not_yet_valid(scene).boxed(),
        },
        Check {
            id: "wrong-signature",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "signature-unchecked",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| signatures::wrong_signature(scene).boxed(),
        },
        Check {
            id: "alg-none",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "unsigned-passes",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| signatures::alg_none(scene).boxed(),
        },
        Check {
            id: "other-algorithm",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "public-key-as-secret",
                "algorithm-of-the-token",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| signatures::other_algorithm(scene).boxed(),
        },
        Check {
            id: "wrong-audience",
            diagnoses: &[
                "asked-everywhere",
                "good-token-refused",
                "audience-unchecked",
                "audience-in-part",
                "audience-not-needed",
                "issuer-unchecked",
                "issuer-not-needed",
                "refused-otherwise",
                "challenge-missing",
                "challenge-wrong",
            ],
            run: |scene| claims::wrong_audience(scene).boxed(),
        },
        Check {
            id: "broken-credentials",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "good-token-refused",
                "broken-passes",
                "broken-answered-otherwise",
                "two-credentials",
            ],
            run: |scene| broken::broken_credentials(scene).boxed(),
        },
        Check {
            id: "identity-stripped",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "spoofed-identity",
                "spoofed-on-open-route",
                "spoofed-look-alike",
                "authorization-lost",
            ],
            run: |scene| identity::identity_stripped(scene).boxed(),
        },
        Check {
            id: "as-routes-say",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "good-token-refused",
                "any-policy-will-do",
            ],
            run: |scene| identity::as_routes_say(scene).boxed(),
        },
        Check {
            id: "backend-untouched",
            diagnoses: &["asked-everywhere", "good-password-refused", "backend-asked-all-the-same"],
            run: |scene| untouched::backend_untouched(scene).boxed(),
        },
        Check {
            id: "secrets-unwritten",
            diagnoses: &[
                "asked-everywhere",
                "good-password-refused",
                "good-token-refused",
                "secret-written",
            ],
            run: |scene| unwritten::secrets_unwritten(scene).boxed(),
        },
        Check {
            id: "bad-policy",
            diagnoses: &["bad-policy-accepted"],
            run: |scene| bad_policies::bad_policy(scene).boxed(),
        },
    ],
};
