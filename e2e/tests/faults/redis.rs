//! The Redis servers of a scenario.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::scenario::kubectl::{get, kubectl};
use e2e::scenario::until;
use serde_json::Value;

use crate::load::{Fault, NAME};

impl Fault {
    /// The pod of the server that takes itself for the primary; of several, one that a replica follows.
    pub(crate) async fn redis_primary(&self) -> Result<String> {
        let pods = self.redis_pods().await?;
        for pod in &pods {
            // A pod that starts, or is cut off, says nothing.
            let said = self.redis_cli(pod, &["info", "replication"]).await.unwrap_or_default();
            if said.contains("role:master") && (pods.len() == 1 || !said.contains("connected_slaves:0")) {
                return Ok(pod.clone());
            }
        }
        bail!("no Redis is a primary")
    }

    /// The pods of a Redis Cluster's primaries, in the order of their names, as `asked` sees it.
    pub(crate) async fn redis_cluster_primaries(&self, asked: &str) -> Result<Vec<String>> {
        let nodes = self.redis_cli(asked, &["cluster", "nodes"]).await?;
        let primary = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let [_, address, flags, _, _, _, _, _, _slots, ..] = words[..] else { return None };
            // Neither is one that is missed, nor one without slots.
            matches!(flags, "master" | "myself,master").then_some(())?;
            let (_, name) = address.rsplit_once(',')?;
            name.split('.').next().map(str::to_owned)
        };
        let mut primaries: Vec<_> = nodes.lines().filter_map(primary).collect();
        primaries.sort();
        Ok(primaries)
    }

    /// What the pods of all Redis servers, whatever they are, have at `pointer`.
    async fn redis_pods_have(&self, pointer: &str) -> Result<Vec<String>> {
        let pods = get(&["pods", "-n", &self.namespace.name, "-l", "app.kubernetes.io/component=redis"]).await?;
        let pods = pods["items"].as_array().context("no list of pods")?;
        let of = |pod: &Value| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        pods.iter().map(|pod| of(pod).with_context(|| format!("a pod without {pointer}"))).collect()
    }

    async fn redis_pods(&self) -> Result<Vec<String>> {
        self.redis_pods_have("/metadata/name").await
    }

    /// Has every server replaced, as another setting does it; some people vanish when the first one has gone.
    pub(crate) async fn roll_redis(&mut self) -> Result<()> {
        let before = self.redis_pods_have("/metadata/uid").await?;
        self.cluster.patch(r#"{"spec": {"redis": {"managed": {"resources": {"requests": {"cpu": "11m"}}}}}}"#).await?;
        until("the first server has gone", Duration::from_secs(60), || async {
            let now = self.redis_pods_have("/metadata/uid").await?;
            Ok(before.iter().any(|uid| !now.contains(uid)).then_some(()))
        })
        .await?;
        self.vanish().await?;
        let set = format!("statefulset/{NAME}-redis");
        kubectl(&["rollout", "status", &set, "-n", &self.namespace.name, "--timeout=300s"]).await?;
        let now = self.redis_pods_have("/metadata/uid").await?;
        ensure!(!before.iter().any(|uid| now.contains(uid)), "a server was not replaced: {before:?}, {now:?}");
        Ok(())
    }

    /// Takes everything from every primary, and waits until no server has any document's log: what is read next is from the
    /// database.
    pub(crate) async fn empty_redis(&self) -> Result<()> {
        let pods = self.redis_pods().await?;
        for pod in &pods {
            // A replica refuses, and loses what its primary loses.
            let said = self.redis_cli(pod, &["flushall"]).await?;
            ensure!(said.starts_with("OK") || said.contains("READONLY"), "{pod} was not emptied: {said}");
        }
        until("no Redis has a document", Duration::from_secs(20), || async {
            for pod in &pods {
                let left = self.redis_cli(pod, &["--scan", "--pattern", "ec:{*"]).await?;
                ensure!(left.is_empty(), "{pod} still has {left}");
            }
            Ok(Some(()))
        })
        .await
    }

    pub(crate) async fn redis_cli(&self, pod: &str, words: &[&str]) -> Result<String> {
        let cli = ["exec", "-n", &self.namespace.name, pod, "-c", "redis", "--", "timeout", "5", "redis-cli"];
        kubectl(&[&cli[..], words].concat()).await
    }
}
