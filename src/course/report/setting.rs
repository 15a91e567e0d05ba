//! In what a report was made: when, by which versions, on which machine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use jiff::ZonedDateTime;

use crate::course::workspace::Workspace;

/// What a report's reader must know to make the same again.
#[derive(Clone, Debug)]
pub struct Setting {
    /// When the report was begun.
    pub when: ZonedDateTime,
    /// The version of this program.
    pub pingora_lab: &'static str,
    /// The version of Pingora that the workspace's programs are built with, if it
    /// is known.
    pub pingora: Option<String>,
    /// What the workspace's compiler says of itself, if it is known.
    pub rustc: Option<String>,
    /// How many processors this process may use at once.
    pub processors: Option<usize>,
    /// The operating system, its version, and the kind of machine.
    pub system: String,
}

// === impl Setting ===

impl Setting {
    /// What is so now. Of a program that is not built in a workspace nothing is
    /// known but where it is run.
    pub fn now(workspace: Option<&Workspace>) -> Self {
        let root = workspace.map(Workspace::root);
        let uname = rustix::system::uname();
        let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let parts = [uname.sysname(), uname.release(), uname.machine()].map(part);
        Self {
            when: ZonedDateTime::now(),
            pingora_lab: env!("CARGO_PKG_VERSION"),
            pingora: root.and_then(locked_pingora),
            rustc: root.and_then(rustc),
            processors: thread::available_parallelism().ok().map(usize::from),
            system: parts.join(" "),
        }
    }
}

/// The version in the workspace's `Cargo.lock`.
fn locked_pingora(root: &Path) -> Option<String> {
    let lock: toml::Table = std::fs::read_to_string(root.join("Cargo.lock")).ok()?.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let is_pingora = |package: &&toml::Value| {
        package.get("name").and_then(toml::Value::as_str) == Some("pingora")
    };
    let pingora = packages.iter().find(is_pingora)?;
    Some(pingora.get("version")?.as_str()?.to_owned())
}

fn rustc(root: &Path) -> Option<String> {
    let mut command = Command::new("rustc");
    // There a toolchain of its own may be chosen.
    command.arg("--version").current_dir(root).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
