//! A proxy under test, judged from outside: any proxy, in any language.
//!
//! [`judge`] runs the checks of a [`Stage`]. Each check has a [`scene::Scene`] of
//! its own: recording backends ([`crate::backends::recording`]), the program,
//! started behind a guard ([`program`]), and clients ([`client`]). It decides from
//! what the backends received and what the clients got, and never from what the
//! program says of itself. What it finds is a [`Verdict`] with a [`Diagnosis`] for
//! each check that is not passed: an id and facts. The sentences are the lessons'.

pub mod certificates;
pub mod client;
pub mod config_file;
pub mod diagnosis;
pub mod exchange;
pub mod program;
pub mod running;
pub mod scene;
pub mod stage;
pub mod stages;
pub mod verdict;

mod common;
mod disk;
mod draw;
mod machine;
mod pulse;
mod run;

pub use common::DIAGNOSES as COMMON_DIAGNOSES;
pub use diagnosis::{Diagnosis, Evidence, Finding};
pub use run::{Asked, Progress, judge, judge_by};
pub use scene::{Command, Subject};
pub use stage::{Check, Stage};
pub use verdict::{CheckVerdict, State, Verdict};
