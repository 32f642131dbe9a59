//! `cargo e2e test`: every test of the project, one step after the other, one summary at the end.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::{packages, paths};

/// Debian packages that the tests use.
const PACKAGES: &[&str] = &["redis-server", "postgresql-15", "chromium", "curl", "git"];

/// One command of the suite. Steps run in order; a failed one does not stop the later ones.
struct Step {
    name: &'static str,
    folder: &'static str,
    command: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { name: "format", folder: ".", command: &["cargo", "fmt", "--all", "--check"] },
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
    Step { name: "unit", folder: ".", command: &["cargo", "test", "--workspace"] },
];

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
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        self.lines.push((format!("{name}: {}", words.join(" ")), result.is_ok(), started.elapsed().as_secs()));
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

/// Runs every step, or the one that `filter` names: `format`, `web`, `clients`, `lint` or `unit`.
pub async fn test(filter: Option<&str>) -> Result<()> {
    if let Some(name) = filter
        && STEPS.iter().all(|step| step.name != name)
    {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{name}`; take one of {}", names.join(", "));
    }
    packages::ensure(PACKAGES).await?;
    let mut outcome = Outcome::default();
    for step in STEPS.iter().filter(|step| filter.is_none_or(|name| name == step.name)) {
        outcome.step(step.name, step.folder, step.command).await;
    }
    outcome.finish()
}

async fn run(folder: &str, words: &[&str]) -> Result<()> {
    let (program, arguments) = words.split_first().context("a step without a command")?;
    let status = Command::new(program)
        .args(arguments)
        .current_dir(paths::workspace().join(folder))
        .stdin(Stdio::null())
        .status()
        .await
        .with_context(|| format!("{program} does not start"))?;
    if !status.success() {
        bail!("{}: {status}", words.join(" "));
    }
    Ok(())
}
