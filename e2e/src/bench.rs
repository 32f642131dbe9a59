//! `cargo e2e bench`: builds in release what is measured and what measures, and calls it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::{packages, paths, shell};

/// Debian packages that the scenarios use.
const PACKAGES: &[&str] = &["postgresql-15", "redis-server", "util-linux"];

/// Runs `bench` with these words.
pub async fn run(words: &[String], peers: bool, progress: &Progress) -> Result<()> {
    packages::ensure(PACKAGES).await?;
    if peers {
        let folder = paths::workspace().join("bench/peers");
        let mut install = shell::command("npm");
        install.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
        progress.during("peers installed", shell::output(&mut install)).await?;
    }
    let mut build = shell::command("cargo");
    build
        .args(["build", "--release", "--package", "gateway", "--package", "operator", "--package", "bench"])
        .current_dir(paths::workspace());
    progress.during("release programs built", shell::output(&mut build)).await?;
    let program: PathBuf = paths::target().join("release/bench");
    let mut bench = shell::command(&program);
    bench.args(words).args(peers.then_some("--peers"));
    let status = bench.status().await.with_context(|| format!("{} does not start", program.display()))?;
    if !status.success() {
        bail!("the benchmark: {status}");
    }
    Ok(())
}
