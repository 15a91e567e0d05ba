//! A configuration file that can't be used is refused: at once, with a message that names
//! it and the line, and before anything listens. Shared by the stages whose files can be
//! wrong.

mod bad_file;
mod run;
mod unheard;
mod watch;

pub use bad_file::{BadFile, RightFile};
pub use run::{Run, each_refused, good_file_refused};
pub use unheard::{Heard, Kind, unheard};
