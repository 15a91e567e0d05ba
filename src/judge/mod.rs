//! A program under test, judged from outside.

pub mod client;
