//! The gateway's fuzz targets (`gateway/fuzz`), each for a bounded time. Without a sanitizer they need no nightly compiler.

use std::path::Path;

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{paths, shell};

const TARGETS: &[&str] = &["frame", "head", "message", "room", "update"];
const SECONDS: u32 = 15;
/// Targets that run at the same time.
const SIDE_BY_SIDE: usize = 2;
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";
const OPTIONS: &[&str] = &["--fuzz-dir", "gateway/fuzz", "--target-dir", "target/fuzz", "--sanitizer", "none"];

/// Builds all targets, runs each and prints its closing line. What they find stays in `gateway/fuzz/artifacts`.
///
/// # Errors
/// A target does not build, or it has found something; the error ends with what and how to run it again.
pub async fn run() -> Result<()> {
    if cargo(&["fuzz", "--version"]).await.is_err() {
        eprintln!("installing {CARGO_FUZZ}");
        cargo(&["install", CARGO_FUZZ, "--locked", "--debug"]).await?;
    }
    cargo(&[&["fuzz", "build"], OPTIONS].concat()).await?;
    futures::stream::iter(TARGETS).map(|target| one(target)).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await
}

async fn one(target: &str) -> Result<()> {
    // What is found goes to the first folder; the seeds, behind it, are only read.
    let corpus = format!("target/fuzz/corpus/{target}");
    let folder = paths::workspace().join(&corpus);
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let seeds = format!("gateway/fuzz/seeds/{target}");
    if !paths::workspace().join(&seeds).is_dir() {
        bail!("the seeds of {target} are missing: {seeds}");
    }
    let time = format!("-max_total_time={SECONDS}");
    let words =
        [&["fuzz", "run", target, &corpus, &seeds], OPTIONS, &["--", &time, "-timeout=10", "-rss_limit_mb=1024"]];
    let said = cargo(&words.concat()).await?;
    let line = said.lines().rfind(|line| line.starts_with("Done ")).context("it ended without a closing line")?;
    println!("{target}: {line}");
    Ok(())
}

/// Runs cargo in the workspace; returns what it has said on standard error.
async fn cargo(words: &[&str]) -> Result<String> {
    let output = shell::command("cargo")
        .args(words)
        .current_dir(Path::new(paths::workspace()))
        .kill_on_drop(true)
        .output()
        .await
        .context("cargo does not start")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("cargo {}: {}: {}", words.join(" "), output.status, shell::tail(&said, 8000));
    }
    Ok(said)
}
