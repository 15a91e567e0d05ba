//! What is told of a trial: as lines for a person, as JSON for a program.

mod json;
mod lines;
mod page;
mod proof;
mod setting;
mod summary;
mod told;

pub use json::json;
pub use lines::lines;
pub use proof::{ReportFile, ReportFileError, proof};
pub use setting::Setting;
pub use summary::{stage_line, summary};
pub use told::Told;
use told::figures;

use crate::course::trial::Report;

/// The command that judges the same again, in the same way.
fn again(report: &Report, invocation: &str) -> String {
    let mut again = format!("{invocation} check {} --seed {}", report.lesson.id(), report.seed);
    if let Some(command) = &report.command {
        again += &format!(" --cmd {}", shell_words::quote(command));
    }
    again
}

/// A command of the judge's, which names this program as it is installed, as it
/// is called here: from a checkout it is `cargo run --`.
pub fn as_called(command: &str, invocation: &str) -> String {
    command.replace("pingora-lab ", &format!("{invocation} "))
}
