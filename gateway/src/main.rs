//! The `gateway` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::main()
}
