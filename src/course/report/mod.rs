//! What is told of a trial: as lines for a person, as JSON for a program.

mod json;
mod lines;
mod told;

pub use json::json;
pub use lines::lines;
pub use told::Told;

/// A command of the judge's, which names this program as it is installed, as it
/// is called here: from a checkout it is `cargo run --`.
pub fn as_called(command: &str, invocation: &str) -> String {
    command.replace("pingora-lab ", &format!("{invocation} "))
}
