//! The `pingora-lab` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    pingora_lab::cli::main()
}
