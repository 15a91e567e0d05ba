//! The judge: programs that may do anything, and what is told of them.

mod configuration;
mod guard;
mod real;
pub mod run;
mod scene;
mod start;
