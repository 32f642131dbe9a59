//! S9: as many connections as the machine gives, over several gateways and several load generators.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::crowd::{Crowd, Shape};
use crate::report::{Figure, Report};
use crate::subject::{Joined, Kind, Subject};

/// A process has at most 20,000 open files here.
const GATEWAYS: usize = 8;
const WORKERS: usize = 8;
const DOCUMENTS: usize = 188;
const CLIENTS: usize = 100;
const TARGET: f64 = 150_000.0;
/// One author a document, so many edits a second.
const RATE: f64 = 0.2;

/// What a worker says at its end.
#[derive(Debug, Deserialize, Serialize)]
struct Outcome {
    deliveries: u64,
    lost: u64,
    duplicated: u64,
    /// Milliseconds.
    p99: f64,
}

struct Worker {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("process {} may be left running: {error}", self.process.id());
        }
    }
}

impl Worker {
    fn start(index: usize, subject: &Subject, length: Duration) -> Result<Self> {
        let addresses = subject.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut process = Command::new(std::env::current_exe()?)
            .args(["worker", "--prefix", &format!("crowd-{index}"), "--addresses", &addresses])
            .args(["--seconds", &length.as_secs().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = BufReader::new(process.stdout.take().context("no standard output")?);
        Ok(Self { process, stdin, stdout })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a worker ended too early");
        Ok(line)
    }
}

pub(super) fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    for &kind in settings.kinds.iter().filter(|kind| kind.is_gateway()) {
        measure(kind, settings, report)?;
    }
    Ok(())
}

fn measure(kind: Kind, settings: &Settings, report: &mut Report) -> Result<()> {
    let subject = Subject::start(kind, Joined::OverRedis(GATEWAYS))?;
    let empty = subject.resident()?;
    let mut workers = Vec::new();
    for index in 0..WORKERS {
        // One after the other, or they keep each other waiting.
        let mut worker = Worker::start(index, &subject, settings.length)?;
        worker.line()?;
        workers.push(worker);
    }
    let held = WORKERS * DOCUMENTS * CLIENTS;
    let each = (subject.resident()? - empty) as f64 / held as f64;
    for worker in &mut workers {
        worker.stdin.write_all(b"write\n")?;
    }
    let mut all = Outcome { deliveries: 0, lost: 0, duplicated: 0, p99: 0.0 };
    for worker in &mut workers {
        let one: Outcome = serde_json::from_str(&worker.line()?)?;
        all.deliveries += one.deliveries;
        all.lost += one.lost;
        all.duplicated += one.duplicated;
        all.p99 = all.p99.max(one.p99);
    }
    let figure = |metric, value, unit| Figure::new("S9", kind, metric, value, unit).account(all.lost, all.duplicated);
    report.figure(figure("connections_held", held as f64, ""))?;
    report.figure(figure("connections_missing", (TARGET - held as f64).max(0.0), "").target(0.0))?;
    report.figure(figure("bytes_per_connection", each, "B"))?;
    report.figure(figure("deliveries", all.deliveries as f64, ""))?;
    report.figure(figure("latency_p99", all.p99, "ms"))?;
    Ok(())
}

/// A load generator of its own: connects, says so, and writes when it is told to.
pub async fn work(prefix: String, addresses: Vec<std::net::SocketAddr>, length: Duration) -> Result<()> {
    let dialect = Kind::Gateway.dialect();
    let shape = Shape { dialect, addresses, documents: DOCUMENTS, clients_per_document: CLIENTS, prefix, arriving: 32 };
    let crowd = Crowd::gather(shape).await?;
    println!("connected");
    let told = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().transpose()).await??;
    ensure!(told.is_some(), "nobody wants anything");
    crowd.write(1, RATE, length, false).await?;
    let lost = crowd.settle().await;
    let ledger = crowd.ledger.borrow();
    let p99 = ledger.latency.value_at_quantile(0.99) as f64 / 1e3;
    let outcome = Outcome { deliveries: ledger.deliveries, lost, duplicated: ledger.duplicated, p99 };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
