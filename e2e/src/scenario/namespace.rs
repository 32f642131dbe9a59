//! A namespace of one's own: made at the scenario's start, gone at its end, its remains kept when it fails.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use super::kubectl::{kubectl, kubectl_with};
use super::until;

/// Give it to [`end`](Self::end) when all that the scenario claims has held; dropped without it, the scenario failed.
pub struct Namespace {
    pub name: String,
    held: bool,
}

impl Namespace {
    /// Makes `name` anew: what an earlier, broken run left in it is deleted first.
    pub async fn create(name: &str) -> Result<Self> {
        kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait=false"]).await?;
        until(&format!("namespace {name} made"), Duration::from_secs(120), || async {
            Ok(kubectl(&["create", "namespace", name]).await.ok())
        })
        .await?;
        Ok(Self { name: name.to_owned(), held: false })
    }

    pub async fn apply(&self, manifest: &str) -> Result<()> {
        kubectl_with(&["apply", "-n", &self.name, "-f", "-"], manifest).await?;
        Ok(())
    }

    /// The scenario held: nothing of it needs to be kept.
    pub fn end(mut self) {
        self.held = true;
    }

    /// Everything that tells why a scenario failed, as files under target/e2e/failed/NAMESPACE.
    fn keep_remains(&self) {
        let folder = crate::paths::target().join("e2e/failed").join(&self.name);
        let looks: &[(&str, &[&str])] = &[
            ("objects.txt", &["get", "all,pvc,ec,hpa,pdb,events", "-o", "wide"]),
            ("editorclusters.yaml", &["get", "ec", "-o", "yaml"]),
            ("pods.txt", &["describe", "pods"]),
            ("gateway.log", &["logs", "-l", "app.kubernetes.io/component=gateway", "--tail=500", "--prefix"]),
            ("redis.log", &["logs", "-l", "app.kubernetes.io/component=redis", "--tail=200", "--prefix"]),
            ("postgres.log", &["logs", "-l", "app.kubernetes.io/component=postgres", "--tail=200", "--prefix"]),
        ];
        if let Err(error) = fs::create_dir_all(&folder) {
            eprintln!("{}: {error}", folder.display());
        }
        for (file, words) in looks {
            save(folder.join(file), Command::new("kubectl").args(["-n", &self.name]).args(*words));
        }
        let operator = ["logs", "-n", "editorcluster-system", "-l", "app.kubernetes.io/component=operator"];
        save(folder.join("operator.log"), Command::new("kubectl").args(operator).args(["--tail=1000", "--prefix"]));
        eprintln!("what namespace {} looked like: {}", self.name, folder.display());
    }
}

fn save(path: PathBuf, command: &mut Command) {
    match command.output() {
        Ok(output) => {
            if let Err(error) = fs::write(&path, [output.stdout, output.stderr].concat()) {
                eprintln!("{}: {error}", path.display());
            }
        }
        Err(error) => eprintln!("{command:?}: {error}"),
    }
}

/// Blocking, because a drop cannot wait on a future. The namespace's end is not waited for.
impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.held {
            self.keep_remains();
        }
        let gone = Command::new("kubectl")
            .args(["delete", "namespace", &self.name, "--ignore-not-found", "--wait=false"])
            .stdout(Stdio::null())
            .status();
        if let Err(error) = gone {
            eprintln!("namespace {} is left behind: {error}", self.name);
        }
    }
}
