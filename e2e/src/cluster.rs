//! A real Kubernetes on one machine: the control plane as processes on the host, two nodes in network namespaces.
//!
//! `up` makes it or finds it as it should be; anything between, left by a crash or a reboot, it removes and makes anew.
//! [`teardown`] needs no record of what was made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e_servers::gotools;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::images::{self, ClusterImages};
use crate::progress::Progress;
use crate::{packages, paths, product, shell, volumes};

mod addons;
pub mod cgroups;
mod control;
pub mod layout;
mod network;
mod node;
pub mod process;
mod teardown;

use layout::NODES;
pub use layout::pki_folder;

/// Debian packages of which the cluster is made, beside what is built from Go modules.
const PACKAGES: &[&str] = &[
    "conntrack",
    "containernetworking-plugins",
    "debootstrap",
    "docker.io",
    "iproute2",
    "iptables",
    "nftables",
    "procps",
    "runc",
    "util-linux",
];

/// A cluster that answers: this machine's own, or the one that `KUBECONFIG` names.
#[derive(Clone, Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    own: bool,
}

impl Cluster {
    /// The cluster that there is; an error if there is none.
    pub fn current() -> Result<Self> {
        let (kubeconfig, own) = (paths::kubeconfig(), paths::foreign_kubeconfig().is_none());
        anyhow::ensure!(kubeconfig.exists(), "there is no {}; run: cargo e2e up", kubeconfig.display());
        Ok(Self { kubeconfig, own })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether it is this machine's own, made by [`up`].
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The addresses of the nodes, for node ports and as routes to the pods; of the own cluster only.
    pub fn node_addresses(&self) -> Vec<String> {
        if self.own { NODES.iter().map(|node| node.address()).collect() } else { Vec::new() }
    }

    /// Runs kubectl on this cluster and returns what it prints.
    pub async fn kubectl(&self, words: &[&str]) -> Result<String> {
        shell::output(Command::new("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(words)).await
    }

    /// `kubectl apply` of a manifest.
    pub async fn apply(&self, manifest: &str) -> Result<()> {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["apply", "-f", "-"]);
        shell::output_with(&mut command, manifest).await.map(drop)
    }

    /// Runs Helm on this cluster and returns what it prints. Its settings and caches are not the user's.
    pub async fn helm(&self, words: &[&str]) -> Result<String> {
        let home = paths::target().join("e2e/helm");
        let mut command = Command::new(gotools::path("helm", &|line| eprintln!("{line}"))?);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, &home);
        }
        shell::output(command.arg("--kubeconfig").arg(&self.kubeconfig).args(words)).await
    }

    /// What a second `up` must leave as it is: our processes, and every object's identity and generation that is not
    /// made and removed by controllers in the course of things. A volume is none of ours: one that a claim has let go
    /// is made anew at the next `up`.
    pub async fn state(&self) -> Result<String> {
        let kinds = "nodes,namespaces,pvc,deployments,statefulsets,services,configmaps,secrets,serviceaccounts,crd,apiservices,ec";
        let path = r#"jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.generation}{"\n"}{end}"#;
        let objects = self.kubectl(&["get", kinds, "-A", "-o", path]).await?;
        let processes: String =
            process::running().iter().map(|(name, pid)| format!("process {name} {pid}\n")).collect();
        Ok(processes + &objects)
    }

    /// Installs or upgrades the operator from the chart, with further words for `helm upgrade`.
    pub async fn install_operator(&self, words: &[&str]) -> Result<()> {
        product::install(self, words).await
    }
}

/// Makes this machine's cluster, with DNS, metrics, volumes and images, or finds it as it should be.
pub async fn up(progress: &Progress) -> Result<Cluster> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "a cluster on this machine needs root; run it as root");
    let _lock = lock()?;
    let kubectl = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join("kubectl").is_file());
    packages::ensure(PACKAGES).await?;
    if !kubectl {
        packages::ensure(&["kubernetes-client"]).await?;
    }
    build_tools(progress).await?;

    let key = key()?;
    let found = is_complete(&key).await;
    if !found && teardown::traces() {
        progress.during("remove what is left of an earlier cluster", teardown::remove()).await?;
    }
    let images = images::ensure_cluster_images(progress).await?;
    let cluster = Cluster { kubeconfig: paths::own_kubeconfig(), own: true };
    if !found {
        create(&cluster, &images, progress).await?;
    }
    import(&images.all()).await?;
    product::record(&[("redis", &images.redis), ("postgres", &images.postgres)])?;
    addons::apply(&cluster, &images).await?;
    progress.during("DNS and metrics ready", addons::ready(&cluster)).await?;
    let recycled = volumes::recycle(&cluster).await?;
    if recycled > 0 {
        progress.say(&format!("{recycled} volumes emptied"));
    }
    fs::write(paths::state().join("complete"), key)?;
    progress.say(&format!("the cluster is up; KUBECONFIG={}", cluster.kubeconfig.display()));
    Ok(cluster)
}

/// [`up`], or the cluster that `KUBECONFIG` names; on it the operator and the sample EditorCluster, Ready.
pub async fn up_with_sample(progress: &Progress) -> Result<()> {
    let cluster = match paths::foreign_kubeconfig() {
        Some(kubeconfig) => Cluster { kubeconfig, own: false },
        None => up(progress).await?,
    };
    product::deploy(&cluster, progress).await
}

/// Removes every trace of this machine's cluster. That there is none is no error.
pub async fn down(progress: &Progress) -> Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "a cluster on this machine needs root to remove; run it as root");
    let _lock = lock()?;
    progress.during("the cluster is removed", teardown::remove()).await
}

/// Imports images into every node.
pub async fn import(images: &[images::Image]) -> Result<()> {
    let bin = paths::state().join("bin");
    for node in NODES {
        node::import(node, &bin, images).await?;
    }
    Ok(())
}

/// One `up` or `down` at a time; the lock goes with the process that holds it.
fn lock() -> Result<File> {
    let folder = paths::target().join("e2e");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = File::create(folder.join("lock"))?;
    file.try_lock().or_else(|_| {
        eprintln!("waiting for another cargo e2e up or down");
        file.lock()
    })?;
    Ok(file)
}

/// Builds the Go programs that are not in the cache.
async fn build_tools(progress: &Progress) -> Result<()> {
    for module in gotools::MODULES {
        if !gotools::is_built(module)? {
            let build = tokio::task::spawn_blocking(move || gotools::ensure(module, &|_| ()));
            let what = format!("build {} from its Go module (once)", module.name);
            progress.during(&what, async { build.await? }).await?;
        }
    }
    Ok(())
}

/// Names what `create` makes: its programs and its own source.
fn key() -> Result<String> {
    let mut hash = Sha256::new();
    for module in gotools::MODULES {
        hash.update(gotools::ensure(module, &|_| ())?.as_os_str().as_encoded_bytes());
    }
    for source in [
        include_str!("cluster/control.rs"),
        include_str!("cluster/layout.rs"),
        include_str!("cluster/network.rs"),
        include_str!("cluster/node.rs"),
    ] {
        hash.update(source);
    }
    Ok(images::short(hash))
}

/// Whether the cluster is there, whole, alive and made as it would be made now.
async fn is_complete(key: &str) -> bool {
    let recorded = fs::read_to_string(paths::state().join("complete")).is_ok_and(|text| text == key);
    let on_host = ["etcd", "apiserver", "controller-manager", "scheduler"].map(str::to_owned);
    let on_nodes =
        NODES.iter().flat_map(|node| ["containerd", "kubelet", "proxy"].map(|name| format!("{}-{name}", node.name())));
    if !recorded
        || !network::exists()
        || !on_host.into_iter().chain(on_nodes).all(|name| process::pid_of(&name).is_some())
    {
        return false;
    }
    match Cluster::current() {
        Ok(cluster) => addons::nodes_ready(&Cluster { kubeconfig: paths::own_kubeconfig(), ..cluster }).await.is_ok(),
        Err(_) => false,
    }
}

async fn create(cluster: &Cluster, images: &ClusterImages, progress: &Progress) -> Result<()> {
    let state = paths::state();
    let bin = state.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    for module in gotools::MODULES {
        let folder = gotools::ensure(module, &|_| ())?;
        for program in module.programs {
            std::os::unix::fs::symlink(folder.join(program), bin.join(program))?;
        }
    }
    control::create_pki()?;
    network::create().await?;
    let all = images.all();
    let [first, second] = NODES;
    let runtimes = async {
        tokio::try_join!(
            node::start_runtime(first, &bin, &images.pause, &all),
            node::start_runtime(second, &bin, &images.pause, &all)
        )
    };
    let both = async { tokio::try_join!(control::start_api_server(&bin), runtimes) };
    progress.during("API server ready, images on the nodes", both).await?;
    control::start_controllers(&bin)?;
    let agents = async {
        for node in NODES {
            node::start_agents(node, &bin).await?;
        }
        anyhow::Ok(())
    };
    progress.during("kubelets started", agents).await?;
    progress.during("nodes Ready", addons::nodes_ready(cluster)).await
}
