//! The `pingora-lab` program.

use std::process::ExitCode;

#[cfg(not(panic = "unwind"))]
compile_error!("a request's panic must end that request and not the process: panic = \"unwind\"");

/// Much of what a request costs is memory taken and given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pingora_lab::cli::main()
}
