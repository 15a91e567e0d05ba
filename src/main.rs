//! The `pingora-lab` program.

use std::process::ExitCode;

/// Much of what a request costs is memory taken and given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pingora_lab::cli::main()
}
