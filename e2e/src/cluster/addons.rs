//! What runs on the cluster itself: DNS, metrics, volumes.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::Cluster;
use super::layout::NODES;
use crate::images::{self, ClusterImages};
use crate::{paths, shell, volumes};

/// Applies everything that is not as it was last applied.
pub(super) async fn apply(cluster: &Cluster, images: &ClusterImages) -> Result<()> {
    let manifest = [
        include_str!("../../manifests/kube-proxy.yaml").to_owned(),
        include_str!("../../manifests/coredns.yaml").replace("IMAGE", &images.coredns.name),
        include_str!("../../manifests/metrics-server.yaml").replace("IMAGE", &images.metrics_server.name),
        volumes::manifest(),
    ]
    .join("---\n");
    let key = images::short(Sha256::new_with_prefix(&manifest));
    let record = paths::state().join("addons");
    if fs::read_to_string(&record).is_ok_and(|text| text == key) {
        return Ok(());
    }
    cluster.apply(&manifest).await?;
    fs::write(record, key)?;
    Ok(())
}

/// Waits until every node is Ready.
pub(super) async fn nodes_ready(cluster: &Cluster) -> Result<()> {
    shell::until("every node Ready", Duration::from_secs(90), || async {
        let path =
            r#"jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}"#;
        let nodes = cluster.kubectl(&["get", "nodes", "-o", path]).await?;
        let ready = |name: String| nodes.split_whitespace().any(|node| node == format!("{name}=True"));
        anyhow::ensure!(NODES.iter().all(|node| ready(node.name())), "nodes are {nodes}");
        Ok(())
    })
    .await
}

/// Waits until names resolve and metrics of every node are there.
pub(super) async fn ready(cluster: &Cluster) -> Result<()> {
    for name in ["deployment/coredns", "deployment/metrics-server"] {
        cluster.kubectl(&["rollout", "status", "-n", "kube-system", name, "--timeout=90s"]).await?;
    }
    shell::until("metrics of every node", Duration::from_secs(90), || async {
        let metrics = cluster.kubectl(&["get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"]).await?;
        anyhow::ensure!(NODES.iter().all(|node| metrics.contains(&node.name())), "metrics are {metrics}");
        Ok(())
    })
    .await
}
