//! The learner's commands: the workspace, the way through the stages, `check`.

mod all;
mod check;
mod interrupted;
mod keep;
mod progress;
mod workspace;
