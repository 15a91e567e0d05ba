//! The course: lessons as data, the learner's workspace, the build of a stage,
//! what has been passed.
//!
//! A stage goes by its id (`01-first-proxy`): the name of its folder under
//! `lessons/`, of its binary in the workspace, and of its heading in `TODO.md`.
//!
//! | file | what lives there |
//! | --- | --- |
//! | [`lesson`] | a stage's texts in both languages, and its files, embedded in this program |
//! | [`workspace`] | the Cargo project that a learner works in |
//! | [`build`] | one stage built, with what happens told as it happens |
//! | [`progress`] | what has been passed, kept in the workspace |
//! | [`mod@todo`] | boxes of the learner's `TODO.md`, ticked |
//! | [`verify`] | the proof of all this, for those who write it |

pub mod build;
pub mod lesson;
pub mod progress;
mod replace;
pub mod report;
pub mod todo;
pub mod trial;
pub mod verify;
pub mod workspace;
