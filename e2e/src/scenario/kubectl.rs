//! kubectl, called as a person calls it.

use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs `kubectl` with these words and `stdin`. Fails with kubectl's own words if it does.
pub async fn kubectl_with(words: &[&str], stdin: &str) -> Result<String> {
    let output = run(words, stdin).await?;
    if !output.status.success() {
        bail!("kubectl {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

pub async fn kubectl(words: &[&str]) -> Result<String> {
    kubectl_with(words, "").await
}

/// The JSON of what `kubectl get` finds.
pub async fn get(words: &[&str]) -> Result<Value> {
    let text = kubectl(&[&["get", "-o", "json"], words].concat()).await?;
    serde_json::from_str(&text).with_context(|| format!("kubectl get {} printed no JSON", words.join(" ")))
}

/// Applies the manifest and returns what kubectl says when it is refused; fails if it is not.
pub async fn refusal(namespace: &str, manifest: &str) -> Result<String> {
    let output = run(&["apply", "-n", namespace, "-f", "-"], manifest).await?;
    if output.status.success() {
        bail!("kubectl apply took what it should refuse:\n{manifest}");
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn run(words: &[&str], stdin: &str) -> Result<Output> {
    let mut child = Command::new("kubectl")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("kubectl does not start")?;
    let mut pipe = child.stdin.take().context("kubectl has no standard input")?;
    pipe.write_all(stdin.as_bytes()).await?;
    drop(pipe);
    Ok(child.wait_with_output().await?)
}
