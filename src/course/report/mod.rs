//! What is told of a trial: as lines for a person, as JSON for a program.

mod json;
mod lines;
mod told;

pub use json::json;
pub use lines::lines;
pub use told::Told;
