//! The `gateway` binary; everything is in the library.

use std::process::ExitCode;

/// Gives memory back to the system after a surge, from SQLite as well; the C library keeps it, and a gateway that was
/// short of memory once would refuse sessions for ever.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
