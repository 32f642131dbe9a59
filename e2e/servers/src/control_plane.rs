//! A Kubernetes API server with its etcd, and nothing else: real admission, CRDs and watches for tests that need no pod.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::pki::{self, Authority};
use crate::{free_port, gotools, wait_until};

/// How long the API server may take until it is ready. It takes 3 s on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// An API server and etcd on ports of the system's choosing; both are gone when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    /// A kubeconfig of a member of system:masters.
    pub kubeconfig: PathBuf,
    /// Its URL.
    pub server: String,
    // The order is the order of their end: an API server without etcd would fill its log.
    _apiserver: Process,
    _etcd: Process,
}

impl ControlPlane {
    /// Starts both with their data, certificates and logs in `folder`, and waits until the API server is ready.
    pub fn start(folder: &Path) -> Result<Self> {
        let say = |line: &str| eprintln!("{line}");
        let (etcd, kube) = (gotools::path("etcd", &say)?, gotools::path("kube", &say)?);
        // Between the choice of a port and its use another process can take it.
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(&folder.join(format!("try-{tries}")), &etcd, &kube) {
                Err(error) if tries < 3 => eprintln!("the control plane is started again: {error:#}"),
                result => return result,
            }
        }
    }

    fn try_start(folder: &Path, etcd: &Path, kube: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let authority = Authority::create(folder, "ca")?;
        authority.issue("apiserver", "kube-apiserver", None, &["127.0.0.1", "localhost"])?;
        let admin = authority.issue("admin", "admin", Some("system:masters"), &[])?;
        pki::signing_key(folder, "service-account")?;

        let (client, peer, port) = (free_port()?, free_port()?, free_port()?);
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut etcd = Command::new(etcd);
        etcd.arg("--data-dir").arg(folder.join("etcd")).args(["--unsafe-no-fsync", "--log-level", "warn"]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}")]);
        let etcd = Process::start(etcd, &folder.join("etcd.log"))?;

        let mut apiserver = Command::new(kube);
        apiserver.current_dir(folder).args(["kube-apiserver", "--bind-address", "127.0.0.1"]);
        apiserver.args(["--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none"]);
        apiserver.args(["--secure-port", &port.to_string(), "--etcd-servers", &client]);
        apiserver.args(["--tls-cert-file", "apiserver.crt", "--tls-private-key-file", "apiserver.key"]);
        apiserver.args(["--client-ca-file", "ca.crt", "--authorization-mode", "RBAC"]);
        apiserver.args(["--service-account-key-file", "service-account.pub"]);
        apiserver.args(["--service-account-signing-key-file", "service-account.key"]);
        apiserver.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        // No controller manager makes service accounts here, and pods are only ever stored.
        apiserver.args(["--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.96.0.0/16"]);
        let log = folder.join("apiserver.log");
        let mut apiserver = Process::start(apiserver, &log)?;

        let server = format!("https://127.0.0.1:{port}");
        let kubeconfig = folder.join("kubeconfig");
        authority.kubeconfig(&kubeconfig, &server, &admin)?;
        wait_until("the API server is ready", START_LIMIT, || {
            apiserver.alive(&log)?;
            ready(&kubeconfig)
        })?;
        Ok(Self { kubeconfig, server, _apiserver: apiserver, _etcd: etcd })
    }
}

fn ready(kubeconfig: &Path) -> Result<bool> {
    let status = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["get", "--raw", "/readyz"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("`kubectl` does not start; install it and put it on the PATH")?;
    Ok(status.success())
}

/// A child that is killed and awaited when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self(child))
    }

    /// An error with the end of its log if it has ended.
    fn alive(&mut self, log: &Path) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            let text = fs::read_to_string(log).unwrap_or_default();
            let from = text.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
            bail!("the API server ended ({status}); the end of {}:\n{}", log.display(), &text[from..]);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both only fail when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_takes_objects_and_is_gone_after_the_drop() {
        let folder = tempfile::tempdir().expect("a folder");
        let plane = ControlPlane::start(folder.path()).expect("a control plane");
        let kubectl = |words: &[&str]| {
            let output = Command::new("kubectl").arg("--kubeconfig").arg(&plane.kubeconfig).args(words).output();
            let output = output.expect("kubectl");
            (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        assert!(kubectl(&["create", "configmap", "one", "--from-literal=a=b"]).0);
        assert_eq!(kubectl(&["get", "configmap", "one", "-o", "jsonpath={.data.a}"]), (true, "b".to_owned()));
        let pids = [plane._apiserver.0.id(), plane._etcd.0.id()];
        drop(plane);
        for pid in pids {
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
        }
    }
}
