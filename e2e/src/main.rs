use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match e2e::cli::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of reasons and no backtrace: whoever reads it is not at fault in this code.
            eprintln!("cargo e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}
