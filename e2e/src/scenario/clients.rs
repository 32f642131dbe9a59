//! The npm clients of `e2e/clients`: real y-websocket, real Chromium, driven by small programs that print JSON lines.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::paths;

/// A running client program.
pub struct ClientProgram {
    name: String,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl ClientProgram {
    /// Starts `e2e/clients/NAME` with these words. It dies with this value.
    pub fn start(name: &str, words: &[&str]) -> Result<Self> {
        let mut child = Command::new("node")
            .arg(paths::workspace().join("e2e/clients").join(name))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node does not start; Node.js 20 or later is needed")?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self { name: name.to_owned(), child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Writes one line to the program.
    pub async fn say(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(())
    }

    /// The first JSON line from now on that `wanted` accepts.
    pub async fn line(&mut self, what: &str, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = String::from("nothing");
        let search = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Ok(value) = serde_json::from_str::<Value>(&line)
                    && wanted(&value)
                {
                    return Ok(value);
                }
                last = line;
            }
            bail!("it ended")
        };
        match timeout(deadline, search).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => bail!("{}: no line with {what}: {error:#}; its last line: {last}", self.name),
            Err(_) => bail!("{}: no line with {what} in {} s; its last: {last}", self.name, deadline.as_secs()),
        }
    }

    /// Closes its standard input, which tells the idle ones to leave, and waits until it has ended with success. Its
    /// last line.
    pub async fn finish(mut self, deadline: Duration) -> Result<Value> {
        drop(self.stdin);
        let mut last = String::new();
        let end = async {
            while let Some(line) = self.lines.next_line().await? {
                last = line;
            }
            anyhow::Ok(self.child.wait().await?)
        };
        let status = timeout(deadline, end)
            .await
            .with_context(|| format!("{} did not end in {} s", self.name, deadline.as_secs()))??;
        if !status.success() {
            bail!("{}: {status}; its last line: {last}", self.name);
        }
        serde_json::from_str(&last).with_context(|| format!("{}: its last line is no JSON: {last}", self.name))
    }
}

/// Runs a client program to its end and returns its last line.
pub async fn run(name: &str, words: &[&str], deadline: Duration) -> Result<Value> {
    ClientProgram::start(name, words)?.finish(deadline).await
}
