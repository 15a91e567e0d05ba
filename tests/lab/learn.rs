//! `learn`: the watch screen in a real terminal, and its lines without one.
//!
//! Cargo is a script here, which makes of a stage's file what its first word
//! says; what it does then waits for the test where that matters.

mod cargo;
mod files;
mod lines;
mod looks;
mod terminal;
mod verdicts;

use cargo::{FIRST, Learner};
use terminal::Terminal;
