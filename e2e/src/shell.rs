//! Running programs and waiting for conditions.

use std::ffi::OsStr;
use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs a program to its end and returns its standard output. An error carries what it said on standard error.
pub async fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, words: &[S]) -> Result<String> {
    output(Command::new(program).args(words)).await
}

/// A command without what `cargo e2e` told this process about its own package: build scripts (ring's) that look at it
/// would run again, and everything above them with them, each time cargo is called from another package.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.as_encoded_bytes().starts_with(of.as_bytes())) {
            command.env_remove(name);
        }
    }
    command
}

/// As [`run`], for a command with an environment or a folder of its own.
pub async fn output(command: &mut Command) -> Result<String> {
    output_with(command, "").await
}

/// As [`output`], with `input` on standard input.
pub async fn output_with(command: &mut Command, input: &str) -> Result<String> {
    let line = line(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let write = async {
        // A program that ends early closes the pipe; its exit status says more than this error would.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output?;
    if !output.status.success() {
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        bail!("`{line}` failed ({}): {}", output.status, tail(&String::from_utf8_lossy(said), 4000));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The end of a text, at most `length` characters of it.
pub fn tail(text: &str, length: usize) -> &str {
    let text = text.trim();
    let from = text.char_indices().rev().nth(length).map_or(0, |(at, _)| at);
    &text[from..]
}

/// Between two looks at a condition; a look is a process, and the machine has other work.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks until `look` succeeds; after `limit` it fails with `what` was waited for and the last error.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > limit => {
                return Err(error.context(format!("waited {} s in vain: {what}", limit.as_secs())));
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
