//! The base image `debian:bookworm-slim`, made from Debian's own packages with debootstrap.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e_servers::gotools;
use sha2::{Digest, Sha256};

use crate::progress::Progress;
use crate::shell;

/// Debian's release.
pub const RELEASE: &str = "bookworm";
/// What Dockerfiles call it.
pub const NAME: &str = "debian:bookworm-slim";

/// Names what is in the base: it is made as this source says.
pub(super) const RECIPE: &str = include_str!("base.rs");

/// What no container reads. The base is slim by that, and so is what is installed on it.
const LEFT_OUT: [&str; 4] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/// What apt keeps only helps the next apt, and there is none in a container.
const KEEP_NOTHING: &str = r#"Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
"#;

/// The archive of the base's files, made first if it is not in the cache.
pub async fn ensure(progress: &Progress) -> Result<PathBuf> {
    let cache = gotools::cache()?;
    let archive = cache.join(format!("base-{}.tar", super::short(Sha256::new_with_prefix(RECIPE))));
    if !archive.exists() {
        progress.during("base image from Debian's packages (once)", make(&cache, &archive)).await?;
    }
    Ok(archive)
}

async fn make(cache: &Path, archive: &Path) -> Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let sources = sources().await?;
    let mirror = sources.first().context("no source")?.split_whitespace().nth(1).context("a source without address")?;
    let unfinished = tempfile::tempdir_in(cache)?;
    let root = unfinished.path().join("root");
    let root_name = root.to_string_lossy();
    shell::run("debootstrap", &["--variant=minbase", RELEASE, &root_name, mirror]).await?;
    fs::write(root.join("etc/apt/sources.list"), sources.join("\n") + "\n")?;
    fs::write(root.join("etc/apt/apt.conf.d/90host"), apt_settings().await?)?;
    let rules: String = LEFT_OUT.iter().map(|path| format!("path-exclude {path}\n")).collect();
    fs::write(root.join("etc/dpkg/dpkg.cfg.d/slim"), rules)?;
    fs::write(root.join("etc/apt/apt.conf.d/slim"), KEEP_NOTHING)?;
    let tar = unfinished.path().join("base.tar");
    let tar_name = tar.to_string_lossy();
    let caches = ["/var/cache/apt/*", "/var/lib/apt/lists/*", "/var/log/*"];
    let left_out: Vec<_> = caches.iter().chain(&LEFT_OUT).map(|path| format!("--exclude=.{path}")).collect();
    let mut words = vec!["-C", &root_name, "--numeric-owner"];
    words.extend(left_out.iter().map(String::as_str));
    words.extend(["-cf", &tar_name, "."]);
    shell::run("tar", &words).await?;
    fs::rename(&tar, archive).with_context(|| format!("cannot make {}", archive.display()))?;
    Ok(())
}

/// Lines for sources.list: where this machine gets Debian from, the release itself first.
async fn sources() -> Result<Vec<String>> {
    let format = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
    let targets = shell::run("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]).await?;
    let mut sources = Vec::new();
    for suite in [RELEASE.to_owned(), format!("{RELEASE}-updates"), format!("{RELEASE}-security")] {
        for line in targets.lines() {
            if let ["Debian", codename, "main", address] = line.split_whitespace().collect::<Vec<_>>()[..]
                && codename == suite
            {
                sources.push(format!("deb {address} {suite} main"));
            }
        }
    }
    sources.dedup();
    let first = sources.first().is_some_and(|line| line.contains(&format!(" {RELEASE} ")));
    anyhow::ensure!(first, "apt on this machine has no source of Debian {RELEASE}; run apt-get update, or add one");
    Ok(sources)
}

/// This machine's settings of how apt reaches its sources, proxies above all.
async fn apt_settings() -> Result<String> {
    let all = shell::run("apt-config", &["dump"]).await?;
    let wanted = ["Acquire::http", "Acquire::https", "Acquire::Check-"];
    let lines = all.lines().filter(|line| wanted.iter().any(|start| line.starts_with(start)));
    // A line without a value only opens a section.
    Ok(lines.filter(|line| !line.ends_with("\"\";")).map(|line| format!("{line}\n")).collect())
}
