//! What the tests share: the program under test, and what it printed.

mod program;

pub use program::Program;
