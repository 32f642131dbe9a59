//! A Docker daemon of our own: it shares nothing with one that the machine may have, and ends when we have built.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{Image, Recipe, base, docker_folder};
use crate::cluster::{cgroups, process};
use crate::shell;

/// Debian's programs of one version; another `docker` may come first on the PATH.
const DOCKER: &str = "/usr/bin/docker";
const DOCKERD: &str = "/usr/sbin/dockerd";

/// A running daemon that has the base image.
pub struct Daemon {
    folder: PathBuf,
}

impl Daemon {
    /// Starts it, or takes the one that an interrupted run has left, and gives it the base image.
    pub async fn start(base: &Path) -> Result<Self> {
        let folder = docker_folder()?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let daemon = Self { folder };
        if process::pid_of("dockerd").is_none() {
            daemon.spawn()?;
        }
        let ready = shell::until("the Docker daemon answers", Duration::from_secs(60), || async {
            // The inner error ends the waiting.
            match process::check("dockerd") {
                Ok(()) => daemon.docker(&["version"]).await.map(|_| Ok(())),
                Err(error) => Ok(Err(error)),
            }
        });
        ready.await??;
        daemon.take_base(base).await?;
        Ok(daemon)
    }

    fn spawn(&self) -> Result<()> {
        let folder = self.folder.display();
        // What a killed daemon left; the number in it may be somebody else's by now.
        for name in ["docker.pid", "exec/containerd/containerd.pid"] {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        // Or the daemon would take the machine's settings.
        fs::write(self.folder.join("daemon.json"), "{}")?;
        // No bridge and no rule of a firewall: builds use the host's network, and nothing else runs here.
        let words = [
            format!("--data-root={folder}/data"),
            format!("--exec-root={folder}/exec"),
            format!("--pidfile={folder}/docker.pid"),
            format!("--host={}", self.host()),
            format!("--cgroup-parent=/{}", cgroups::DOCKER),
            format!("--config-file={folder}/daemon.json"),
            "--bridge=none".to_owned(),
            "--iptables=false".to_owned(),
            "--ip-forward=false".to_owned(),
            "--ip-masq=false".to_owned(),
        ];
        process::start("dockerd", DOCKERD, &words)
    }

    /// Imports the base unless it was imported from this very archive, which is named after what is in it.
    async fn take_base(&self, base: &Path) -> Result<()> {
        let source = base.file_name().context("a base without a name")?.to_string_lossy();
        let has = self.docker(&["image", "inspect", "--format", "{{.Comment}}", base::NAME]).await;
        if !has.is_ok_and(|comment| comment.trim() == source) {
            self.docker(&["import", "--message", &source, &base.to_string_lossy(), base::NAME]).await?;
        }
        Ok(())
    }

    fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.display())
    }

    /// Builds the image and writes its archive, which is complete or absent.
    pub async fn build(&self, recipe: &Recipe, image: &Image) -> Result<()> {
        let folder = image.archive.parent().context("an archive in no folder")?;
        let unfinished = tempfile::tempdir_in(folder)?;
        let context = unfinished.path().join("context");
        fs::create_dir(&context)?;
        recipe.stage(&context).await?;
        let mut words = vec!["build", "--network", "host", "--force-rm", "--tag", &image.name];
        for argument in &recipe.arguments {
            words.extend(["--build-arg", argument]);
        }
        let context = context.to_string_lossy();
        words.push(&context);
        self.docker(&words).await.with_context(|| format!("{} fails", recipe.dockerfile.display()))?;
        let archive = unfinished.path().join("image.tar");
        self.docker(&["save", "--output", &archive.to_string_lossy(), &image.name]).await?;
        fs::rename(&archive, &image.archive)?;
        self.remove_older(image).await
    }

    /// Layers of earlier contents would fill the disk.
    async fn remove_older(&self, image: &Image) -> Result<()> {
        let (repository, _) = image.repository_and_tag();
        let format = "{{.Repository}}:{{.Tag}}";
        let all = self.docker(&["images", "--format", format, repository]).await?;
        let older: Vec<&str> = all.lines().filter(|name| *name != image.name).collect();
        if !older.is_empty() {
            self.docker(&[&["rmi"], &older[..]].concat()).await?;
        }
        Ok(())
    }

    async fn docker(&self, words: &[&str]) -> Result<String> {
        let host = self.host();
        let mut command = Command::new(DOCKER);
        // The builder that needs no plugin; the user's own settings and context are not ours.
        command.env("DOCKER_BUILDKIT", "0").env("DOCKER_CONFIG", &self.folder).env_remove("DOCKER_CONTEXT");
        shell::output(command.args(["--host", &host]).args(words)).await
    }

    /// Ends it and its containerd.
    pub async fn stop(self) -> Result<()> {
        process::end("dockerd", Duration::from_secs(20)).await
    }
}
