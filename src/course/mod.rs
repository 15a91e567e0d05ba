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
//! | [`path`] | the stages as one path: passed, at hand, left, and what is next |
//! | [`mod@todo`] | boxes of the learner's `TODO.md`, ticked |
//! | [`trial`] | one stage built and judged |
//! | [`note`] | what a trial's report changes in the workspace |
//! | [`report`] | what is told of a trial, as lines, as JSON and in a file; of many, on one screen |
//! | [`watch`] | the watch screen: a trial after every save |
//! | [`verify`] | the proof of all this, for those who write it |

pub mod build;
pub mod lesson;
pub mod note;
pub mod path;
pub mod progress;
mod replace;
pub mod report;
pub mod todo;
pub mod trial;
pub mod verify;
pub mod watch;
pub mod workspace;
