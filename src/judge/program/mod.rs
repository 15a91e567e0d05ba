//! The program under test: how it is run, whether it listens, how it ends.
//!
//! It may do anything: loop for ever, ignore signals, fork, write without end,
//! eat memory. So it never is a child of ours. [`guard`] stands between: a
//! small process that starts the program, limits it, and ends it and all that
//! it has started, even when the judge itself was killed.

pub mod guard;

mod cpu;
mod descendants;
mod environment;
mod guarded;
mod launch;
mod order;
mod orphans;
mod output;
mod panic_line;
mod refusal;
#[cfg(target_os = "linux")]
mod sock_diag;
mod sockets;
mod start;

pub use cpu::{CpuTime, own_cpu};
pub use environment::environment;
pub use guarded::{Ended, Guarded, NotStarted};
pub use launch::{CommandLine, CommandLineError, Launch};
pub use order::{ExitKind, Order};
pub use output::{Output, Tail};
pub use panic_line::PanicLine;
pub use refusal::{Stay, listening, wait_until_ended};
pub(super) use sockets::{serves, sockets};
pub(super) use start::why_ended;
pub use start::{Holder, StartFailure, wait_until_listening, wait_until_listening_beside};
