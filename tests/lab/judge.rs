//! The judge: programs that may do anything, and what is told of them.
pub mod run;

mod guard;
mod real;
mod start;
