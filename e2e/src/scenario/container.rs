//! The processes of a pod, on the machine that also runs the scenario, and what can be done to them from outside.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kubectl::get;
use crate::shell;

/// The processes of a pod's containers, without the one that holds its namespaces.
#[derive(Clone, Debug)]
pub struct Processes {
    pod: String,
    pids: Vec<u32>,
}

impl Processes {
    /// Those that the pod has now; an error if it has none.
    pub async fn of(namespace: &str, pod: &str) -> Result<Self> {
        let object = get(&["pod", pod, "-n", namespace]).await?;
        let uid = object["metadata"]["uid"].as_str().context("a pod without uid")?;
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // A process that has ended meanwhile has neither.
            let cgroup = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if cgroup.contains(uid) && name.trim() != "pause" {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        ensure!(!pids.is_empty(), "pod {namespace}/{pod} has no process on this machine");
        Ok(Self { pod: format!("{namespace}/{pod}"), pids })
    }

    /// Sends every process the signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        for pid in &self.pids {
            match kill(Pid::from_raw(pid.cast_signed()), signal) {
                // The first one's end may have taken it along.
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("process {pid} of pod {}", self.pod)),
            }
        }
        Ok(())
    }

    /// The container's folder `path` (absolute) as this process can reach it.
    pub fn folder(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pids[0]))
    }

    /// From now on the pod's network drops packets that `rule` (iptables' words) matches.
    pub async fn drop_packets(&self, rule: &str) -> Result<()> {
        self.firewall(rule, "DROP").await
    }

    /// From now on connections that `rule` matches are reset.
    pub async fn reset_connections(&self, rule: &str) -> Result<()> {
        self.firewall(rule, "REJECT --reject-with tcp-reset").await
    }

    /// Takes all such rules away.
    pub async fn heal(&self) -> Result<()> {
        self.iptables("-F").await
    }

    async fn firewall(&self, rule: &str, target: &str) -> Result<()> {
        self.iptables(&format!("-I {rule} -j {target}")).await
    }

    async fn iptables(&self, words: &str) -> Result<()> {
        let pid = self.pids[0].to_string();
        let enter = ["--target", &pid, "--net", "iptables", "-w"];
        shell::run("nsenter", &[&enter[..], &words.split_whitespace().collect::<Vec<_>>()].concat()).await?;
        Ok(())
    }
}
