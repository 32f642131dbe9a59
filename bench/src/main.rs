//! `bench`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match bench::cli::run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("bench: {missed} figures are not as they should be");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
