//! The learner's commands: the workspace, the way through the stages, `check`.

mod check;
mod interrupted;
mod workspace;
