//! How backends are checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendName, StatusCode};
use crate::config::bounded::{Count, Share};
use crate::config::written::written_as_string;
use crate::config::{Invalid, Span};

/// How the backends of a pool are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// `tcp`: a connection; `http`: a GET that must be answered with `status`.
    pub kind: CheckKind,
    /// Time between two checks while all addresses are healthy.
    pub interval: Span,
    /// Time between two checks while one is not, if that is shorter.
    pub unhealthy_interval: Span,
    /// By how much each interval may be longer or shorter by chance, as a share of
    /// it, so that many load balancers do not check at the same moment.
    pub jitter: Share,
    /// Time in which a connection, and an answer, must be there.
    pub timeout: Span,
    /// Checks in a row that must succeed until an unhealthy address is healthy.
    pub rise: Count,
    /// Checks in a row that must fail until a healthy address is unhealthy.
    pub fall: Count,
    /// What an address is taken for until its first check: one that appears while
    /// requests are served. The first check at start-up is always waited for.
    pub initial: InitialState,
    /// With `kind = "http"`: what is asked for.
    pub path: CheckPath,
    /// With `kind = "http"`: the `Host` to send; the backend's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<BackendName>,
    /// With `kind = "http"`: the status codes that mean healthy.
    pub status: Vec<StatusCode>,
}

/// What a health check does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Opens a connection.
    #[default]
    Tcp,
    /// Sends a GET; over TLS where the pool speaks TLS.
    Http,
}

/// What an address is taken for before its first check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialState {
    /// It gets requests.
    Healthy,
    /// It gets none until it has passed.
    #[default]
    Unhealthy,
}

/// A path that a health check asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckPath(String);

written_as_string!(CheckPath, "CheckPath", "A path, beginning with /", "/healthz");

// === impl HealthCheck ===

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::default(),
            interval: Span::from_secs(30),
            unhealthy_interval: Span::from_secs(2),
            jitter: Share::from_percent(5),
            timeout: Span::from_secs(1),
            rise: Count::new(1),
            fall: Count::new(1),
            initial: InitialState::default(),
            path: CheckPath("/".to_owned()),
            host: None,
            status: vec![StatusCode(http::StatusCode::OK)],
        }
    }
}

// === impl CheckPath ===

impl CheckPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CheckPath {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let valid = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
        if !valid {
            return Err(Invalid(format!(
                "\"{text}\" is no path: begin with / and write spaces as %20"
            )));
        }
        Ok(Self(text))
    }
}

impl std::fmt::Display for CheckPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
