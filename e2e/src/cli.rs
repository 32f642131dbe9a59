//! The command line of `cargo e2e`.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::progress::Progress;
use crate::{bench, cluster, suite};

/// The project on a real Kubernetes, and the project's tests.
#[derive(Parser)]
#[command(name = "cargo e2e", bin_name = "cargo e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a two-node Kubernetes on this machine, installs the operator and a sample EditorCluster, and prints the
    /// editor's address. Run again, it changes only what has changed. With KUBECONFIG set it uses that cluster
    /// instead, and leaves the machine alone.
    Up {
        /// Only the cluster and its images, without the operator and the sample.
        #[arg(long)]
        bare: bool,
    },
    /// Removes every trace of the cluster from this machine: processes, namespaces, mounts, links, routes, cgroups.
    Down,
    /// Runs every test of the project, at last the scenarios on the cluster, which it makes and takes down again.
    /// Installs the Debian packages that are missing.
    Test {
        /// A step (format, web, clients, lint, unit, fuzz), `scenarios`, or a part of a scenario's name. Without it: everything.
        filter: Option<String>,
        /// Leaves the cluster as it is afterwards.
        #[arg(long)]
        keep: bool,
    },
    /// Measures the gateway on release builds: a table, and JSON lines in target/bench. Fails when a figure misses its
    /// target.
    Bench {
        /// S1 to S9, H1, GROW, SOAK; without, all of them but SOAK, which needs minutes.
        scenarios: Vec<String>,
        /// Also Hocuspocus and Socket.IO, in the same run under the same load.
        #[arg(long)]
        peers: bool,
        /// The program of another build of the gateway, which is measured in turn with this one.
        #[arg(long, value_name = "PROGRAM")]
        against: Option<std::path::PathBuf>,
        /// How often each scenario is measured.
        #[arg(long, default_value_t = 1, value_name = "TIMES")]
        rounds: u64,
        /// How long each load is measured.
        #[arg(long, default_value_t = 20, value_name = "SECONDS")]
        seconds: u64,
    },
}

/// Parses the arguments and does what they say.
pub async fn run() -> Result<()> {
    let progress = Progress::new();
    match Arguments::parse().command {
        Command::Up { bare: true } => cluster::up(&progress).await.map(drop),
        Command::Up { bare: false } => cluster::up_with_sample(&progress).await,
        Command::Down => cluster::down(&progress).await,
        Command::Test { filter, keep } => suite::test(filter.as_deref(), keep, &progress).await,
        Command::Bench { scenarios: mut words, peers, against, rounds, seconds } => {
            words.extend(["--seconds".to_owned(), seconds.to_string(), "--rounds".to_owned(), rounds.to_string()]);
            words.extend(against.map(|program| format!("--against={}", program.display())));
            bench::run(&words, peers, &progress).await
        }
    }
}
