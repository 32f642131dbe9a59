//! Debian packages that a run needs.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// While this file says so, Debian's packages do not start their services when they are installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

const START_NOTHING: &str = "#!/bin/sh\n# Made by cargo e2e while it installs packages.\nexit 101\n";

/// Installs those of `names` that are missing and says which. Needs root only if one is missing.
pub async fn ensure(names: &[&str]) -> Result<()> {
    let mut missing = Vec::new();
    for name in names {
        if !installed(name).await? {
            missing.push(*name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing Debian packages: {}", missing.join(" "));
    // One with our very words was left by a run that was killed.
    let ours = !Path::new(POLICY).exists() || std::fs::read_to_string(POLICY).is_ok_and(|text| text == START_NOTHING);
    if ours {
        write_policy()?;
    }
    let result = install(&missing).await;
    if ours {
        std::fs::remove_file(POLICY).with_context(|| format!("{POLICY} cannot be removed again"))?;
    }
    result
}

fn write_policy() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let written = std::fs::write(POLICY, START_NOTHING)
        .and_then(|()| std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755)));
    written.with_context(|| format!("{POLICY} cannot be written; packages are installed as root"))
}

async fn installed(name: &str) -> Result<bool> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status}", name])
        .output()
        .await
        .context("dpkg-query does not start; this needs Debian or alike")?;
    Ok(output.stdout == b"installed")
}

async fn install(names: &[&str]) -> Result<()> {
    for words in
        [&["update", "--quiet=2"][..], &[&["install", "--quiet=2", "--yes", "--no-install-recommends"], names].concat()]
    {
        let status = Command::new("apt-get")
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .await?;
        if !status.success() {
            bail!("apt-get {}: {status}; install {} by hand", words.join(" "), names.join(" "));
        }
    }
    Ok(())
}
