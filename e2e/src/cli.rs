//! The command line of `cargo e2e`.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::suite;

/// The project's tests, and what they need on this machine.
#[derive(Parser)]
#[command(name = "cargo e2e", bin_name = "cargo e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test of the project, or one step of them. Installs the Debian packages that are missing.
    Test {
        /// The step: format, web, clients, lint or unit. Without it: all of them.
        step: Option<String>,
    },
}

/// Parses the arguments and does what they say.
pub async fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Test { step } => suite::test(step.as_deref()).await,
    }
}
