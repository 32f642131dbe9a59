//! The command line of the benchmark; `cargo e2e bench` builds what it needs and calls it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::attack::{self, Attack};
use crate::report::Report;
use crate::scenario::{self, Settings};
use crate::subject::Kind;
use crate::{cores, floor, subject};

/// Loads the gateway, and with --peers also Hocuspocus and Socket.IO, and prints what it costs. Figures go to
/// target/bench/SCENARIO.jsonl as well.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// S1 to S9, O1, H1, GROW, SOAK; without, all of them but SOAK, which needs minutes.
    scenarios: Vec<String>,
    /// Also Hocuspocus with its Redis extension and Socket.IO with its Redis adapter, one after the other.
    #[arg(long)]
    peers: bool,
    /// The program of another build of the gateway. S1 to S9 measure both in turn; at the end the medians stand side by
    /// side.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// How often each scenario is measured. Every other time the subjects come in the opposite order.
    #[arg(long, default_value_t = 1, value_name = "TIMES", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How long each load is measured, and in O1 the rest afterwards.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

#[derive(Subcommand)]
enum Command {
    /// A load generator of S9.
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        prefix: String,
        #[arg(long, value_delimiter = ',')]
        addresses: Vec<SocketAddr>,
        #[arg(long)]
        seconds: u64,
    },
    /// An attacker of H1; goes on until it is killed.
    #[command(hide = true)]
    Attack {
        attack: Attack,
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        prefix: String,
        #[arg(long)]
        documents: usize,
    },
}

/// Parses the arguments and does what they say. Returns how many of our figures missed their target.
pub fn run() -> Result<usize> {
    let arguments = Arguments::parse();
    let known = |name: &String| scenario::ALL.iter().any(|(known, _)| known == name);
    if let Some(unknown) = arguments.scenarios.iter().find(|name| !known(name)) {
        anyhow::bail!("there is no scenario {unknown}; there are S1 to S9, O1, H1, GROW and SOAK");
    }
    cores::stay_on(cores::LOAD)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match arguments.command {
            Some(Command::Worker { prefix, addresses, seconds }) => {
                scenario::work(prefix, addresses, Duration::from_secs(seconds)).await?;
                Ok(0)
            }
            Some(Command::Attack { attack, address, prefix, documents }) => {
                attack::run(attack, address, &prefix, documents).await?;
                Ok(0)
            }
            None => measure(&arguments).await,
        }
    })
}

async fn measure(arguments: &Arguments) -> Result<usize> {
    let floor = floor::measure()?;
    println!("floor: {:.2} us for one write of 64 bytes to a loopback socket", floor.as_secs_f64() * 1e6);
    let peers: &[Kind] = if arguments.peers { &[Kind::Hocuspocus, Kind::SocketIo] } else { &[] };
    let before: &[Kind] = if arguments.against.is_some() { &[Kind::Before] } else { &[] };
    if let Some(program) = &arguments.against {
        subject::compare_with(program)?;
    }
    let kinds = [before, &[Kind::Gateway], peers].concat();
    let mut settings = Settings { kinds, length: Duration::from_secs(arguments.seconds) };
    let mut report = Report::new(floor)?;
    for (name, what) in scenario::ALL {
        // A soak of seconds says nothing.
        let every = arguments.scenarios.is_empty() && *name != "SOAK";
        if every || arguments.scenarios.iter().any(|wanted| wanted == name) {
            println!("{name}   {what}");
            report.begin(name)?;
            for _ in 0..arguments.rounds {
                scenario::run(name, &settings, &mut report).await?;
                settings.kinds.reverse();
            }
        }
    }
    Ok(report.end())
}
