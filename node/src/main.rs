//! The `belfry` binary.

use std::process::ExitCode;

/// A node makes and drops many small things on many threads: an eighth of its time went into the C library's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    belfry_node::cli::main()
}
