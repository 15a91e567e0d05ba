//! The access log: whether, where, in which form.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LogFormat;

/// The access log: one line for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// Whether there is one.
    pub enabled: bool,
    /// Where the lines go: `"stderr"`, `"stdout"`, or `{ file = "PATH" }`, which is
    /// made if it is not there and opened anew on SIGUSR1.
    pub to: LogTarget,
    /// Text for people or JSON for programs; by default as `[log]` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// To stderr, between the lines of the log.
    #[default]
    Stderr,
    /// To stdout.
    Stdout,
    /// To the end of a file.
    #[schemars(with = "String")]
    File(PathBuf),
}

// === impl AccessLog ===

impl Default for AccessLog {
    fn default() -> Self {
        Self { enabled: true, to: LogTarget::default(), format: None }
    }
}
