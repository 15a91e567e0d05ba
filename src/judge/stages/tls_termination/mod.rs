//! 15 tls-termination: TLS ends at the program. Each name gets its certificate, clients may
//! speak HTTP/2, backends hear how a client came, and who comes without TLS is sent to where
//! it is.

mod alpn;
mod bad_certificates;
mod forwarded_proto;
mod http2_passes;
mod names;
mod plaintext;
mod redirects;
mod setup;
mod versions;

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
            id: "certificate-by-name",
            diagnoses: &[
                "one-certificate-for-all",
                "wildcard-not-known",
                "wildcard-before-exact",
                "second-name-forgotten",
                "case-of-a-name",
                "wrong-certificate",
                "chain-incomplete",
                "no-name-refused",
                "default-not-first",
                "wildcard-too-wide",
                "stranger-gets-another",
                "stranger-cut-off",
            ],
            run: |scene| names::certificate_by_name(scene).boxed(),
        },
        Check {
            id: "tls-versions",
            diagnoses: &["version-refused", "old-version-spoken", "old-version-hangs"],
            run: |scene| versions::tls_versions(scene).boxed(),
        },
        Check {
            id: "alpn-h2",
            diagnoses: &["h2-not-offered", "http1-refused", "not-what-was-agreed"],
            run: |scene| alpn::alpn_h2(scene).boxed(),
        },
        Check {
            id: "http2-passes",
            diagnoses: &["authority-not-looked-at"],
            run: |scene| http2_passes::http2_passes(scene).boxed(),
        },
        Check {
            id: "redirects",
            diagnoses: &[
                "not-redirected",
                "redirected-and-forwarded",
                "redirects-unasked",
                "redirect-status",
                "location-missing",
                "location-not-https",
                "location-other-host",
                "location-other-port",
                "location-path-lost",
                "location-query-lost",
                "location-target-changed",
            ],
            run: |scene| redirects::redirects(scene).boxed(),
        },
        Check {
            id: "forwarded-proto",
            diagnoses: &[
                "proto-missing",
                "proto-twice",
                "proto-of-the-client",
                "proto-not-https",
                "proto-always-https",
                "proto-misspelt",
            ],
            run: |scene| forwarded_proto::forwarded_proto(scene).boxed(),
        },
        Check {
            id: "plaintext",
            diagnoses: &["plaintext-hangs", "plaintext-served", "handshake-holds-others"],
            run: |scene| plaintext::plaintext(scene).boxed(),
        },
        Check {
            id: "bad-certificate",
            diagnoses: &["bad-certificate-accepted"],
            run: |scene| bad_certificates::bad_certificate(scene).boxed(),
        },
    ],
};

const ID: &str = "15-tls-termination";
