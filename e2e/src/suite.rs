//! `cargo e2e test`: every test of the project, one step after the other, one summary at the end.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cluster::{self, Cluster};
use crate::progress::Progress;
use crate::{fuzz, packages, paths, shell};

/// Debian packages that the build and the tests use.
const PACKAGES: &[&str] = &["make", "redis-server", "postgresql-15", "chromium", "curl", "git"];

/// One command of the suite. Steps run in order; a failed one does not stop the later ones.
struct Step {
    name: &'static str,
    folder: &'static str,
    command: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { name: "format", folder: ".", command: &["cargo", "fmt", "--all", "--check"] },
    Step { name: "format", folder: "gateway/fuzz", command: &["cargo", "fmt", "--check"] },
    Step { name: "web", folder: "web", command: &["npm", "ci", "--no-audit", "--no-fund"] },
    Step { name: "web", folder: "web", command: &["npm", "run", "check"] },
    Step { name: "web", folder: "web", command: &["npm", "test"] },
    Step { name: "web", folder: "web", command: &["npm", "run", "build"] },
    Step { name: "clients", folder: "e2e/clients", command: &["npm", "ci", "--no-audit", "--no-fund"] },
    Step { name: "clients", folder: "e2e/clients", command: &["npm", "test"] },
    Step {
        name: "lint",
        folder: ".",
        command: &["cargo", "clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    },
    Step {
        name: "lint",
        folder: ".",
        command: &[
            "cargo",
            "clippy",
            "--quiet",
            "--workspace",
            "--test",
            "cluster",
            "--test",
            "lifecycle",
            "--test",
            "faults",
            "--",
            "-D",
            "warnings",
        ],
    },
    Step { name: "unit", folder: ".", command: &["cargo", "test", "--workspace"] },
    Step { name: "cases", folder: ".", command: &["cargo", "build", "--package", "gateway"] },
    Step { name: "cases", folder: "e2e/clients", command: &["npm", "ci", "--no-audit", "--no-fund"] },
    Step { name: "cases", folder: "e2e/clients", command: &["npm", "run", "cases"] },
    Step {
        name: "differential",
        folder: ".",
        command: &["cargo", "build", "--package", "editorcluster-core", "--example", "document-pipe"],
    },
    Step { name: "differential", folder: "e2e/clients", command: &["node", "differential/run.mjs"] },
];

/// The scenarios on the cluster: the test target, and how many run side by side.
const SCENARIOS: &[(&str, &str)] = &[("cluster", "4"), ("faults", "3"), ("lifecycle", "1")];

/// What became of the steps.
#[derive(Default)]
struct Outcome {
    lines: Vec<(String, bool, u64)>,
}

impl Outcome {
    async fn step(&mut self, name: &str, folder: &str, words: &[&str]) {
        let started = Instant::now();
        eprintln!("\n=== {name}: {}", words.join(" "));
        let result = run(folder, words).await;
        self.note(&format!("{name}: {}", words.join(" ")), &result, started);
    }

    fn note(&mut self, name: &str, result: &Result<()>, started: Instant) {
        if let Err(error) = result {
            eprintln!("{error:#}");
        }
        self.lines.push((name.to_owned(), result.is_ok(), started.elapsed().as_secs()));
    }

    /// Prints the summary; an error if a step failed.
    fn finish(self) -> Result<()> {
        println!("\n=== summary");
        for (name, passed, seconds) in &self.lines {
            println!("{} {seconds:>5} s  {name}", if *passed { "ok    " } else { "FAILED" });
        }
        let failed = self.lines.iter().filter(|(_, passed, _)| !passed).count();
        println!("{} passed, {failed} failed", self.lines.len() - failed);
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.lines.len());
        }
        Ok(())
    }
}

/// Runs everything, or what `filter` names: a step (`format`, `web`, `clients`, `lint`, `unit`, `cases`, `differential`,
/// `fuzz`), `scenarios`, or a part of a scenario's name. Scenarios make the cluster, and take it down afterwards unless `keep`.
pub async fn test(filter: Option<&str>, keep: bool, progress: &Progress) -> Result<()> {
    packages::ensure(PACKAGES).await?;
    let mut outcome = Outcome::default();
    let is_step = filter == Some("fuzz") || STEPS.iter().any(|step| Some(step.name) == filter);
    for step in STEPS.iter().filter(|step| filter.is_none_or(|name| name == step.name)) {
        outcome.step(step.name, step.folder, step.command).await;
    }
    if filter.is_none_or(|name| name == "fuzz") {
        let started = Instant::now();
        eprintln!("\n=== fuzz");
        outcome.note("fuzz", &fuzz::run().await, started);
    }
    if !is_step {
        if filter.is_some() {
            outcome.step("clients", "e2e/clients", &["npm", "ci", "--no-audit", "--no-fund"]).await;
        }
        scenarios(&mut outcome, filter.filter(|name| *name != "scenarios"), progress).await;
        if !keep {
            let started = Instant::now();
            let down = cluster::down(progress).await;
            outcome.note("cluster: cargo e2e down", &down, started);
        }
    }
    outcome.finish()
}

async fn scenarios(outcome: &mut Outcome, name: Option<&str>, progress: &Progress) {
    let started = Instant::now();
    let up = up_twice(progress).await;
    outcome.note("cluster: cargo e2e up, twice", &up, started);
    if up.is_err() {
        return;
    }
    for (target, threads) in SCENARIOS {
        let words = ["cargo", "test", "--workspace", "--test", target, "--", "--test-threads", threads];
        outcome.step("scenarios", ".", &[&words[..], name.as_slice()].concat()).await;
    }
}

/// The sample is Ready, and a second `up` leaves everything as it is.
async fn up_twice(progress: &Progress) -> Result<()> {
    cluster::up_with_sample(progress).await?;
    let before = Cluster::current()?.state().await?;
    cluster::up_with_sample(progress).await?;
    let after = Cluster::current()?.state().await?;
    if before != after {
        bail!("a second `cargo e2e up` changed something:\n{before}\nbecame\n{after}");
    }
    Ok(())
}

async fn run(folder: &str, words: &[&str]) -> Result<()> {
    let (program, arguments) = words.split_first().context("a step without a command")?;
    let status = shell::command(program)
        .args(arguments)
        .current_dir(paths::workspace().join(folder))
        .env("KUBECONFIG", paths::kubeconfig())
        // What the cases and the comparison with Yjs try.
        .env("GATEWAY", paths::workspace().join("target/debug/gateway"))
        .env("STORE", paths::workspace().join("target/debug/examples/document-pipe"))
        // The gateway catches what the CRDT library panics on; random frames would fill the output with backtraces.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .status()
        .await
        .with_context(|| format!("{program} does not start"))?;
    if !status.success() {
        bail!("{}: {status}", words.join(" "));
    }
    Ok(())
}
