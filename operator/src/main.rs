//! The operator's program; everything is in the library, so that tests reach it.

use std::process::ExitCode;

/// Gives memory back to the system after a surge of objects; the C library keeps what its threads' arenas once had.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    operator::cli::main()
}
