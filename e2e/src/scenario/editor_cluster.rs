//! An EditorCluster under test, looked at as its user does.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::kubectl::{get, kubectl};
use super::until;

/// One EditorCluster by namespace and name.
#[derive(Clone, Debug)]
pub struct EditorCluster {
    pub namespace: String,
    pub name: String,
}

/// A gateway pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayPod {
    pub name: String,
    pub ip: String,
}

impl EditorCluster {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub async fn object(&self) -> Result<Value> {
        get(&["ec", &self.name, "-n", &self.namespace]).await
    }

    /// Waits until condition Ready is True for the spec as it stands now.
    pub async fn ready(&self) -> Result<Value> {
        until(&format!("EditorCluster {} Ready", self.name), Duration::from_secs(180), || async {
            let object = self.object().await?;
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            Ok((current && condition(&object, "Ready").is_some_and(|it| it["status"] == "True")).then_some(object))
        })
        .await
    }

    /// Waits until condition `kind` has this reason; returns its message.
    pub async fn reason(&self, kind: &str, reason: &str) -> Result<String> {
        until(&format!("condition {kind} with reason {reason}"), Duration::from_secs(90), || async {
            let object = self.object().await?;
            Ok(condition(&object, kind)
                .filter(|it| it["reason"] == reason)
                .map(|it| it["message"].as_str().unwrap_or_default().to_owned()))
        })
        .await
    }

    /// The gateway pods that are Ready and not on their way out, by name.
    pub async fn gateways(&self) -> Result<Vec<GatewayPod>> {
        let selector = format!("app.kubernetes.io/component=gateway,app.kubernetes.io/instance={}", self.name);
        let pods = get(&["pods", "-n", &self.namespace, "-l", &selector]).await?;
        let mut gateways: Vec<GatewayPod> = pods["items"]
            .as_array()
            .context("no list of pods")?
            .iter()
            .filter(|pod| {
                pod["metadata"]["deletionTimestamp"].is_null() && condition(pod, "Ready").is_some_and(is_true)
            })
            .filter_map(|pod| {
                let name = pod["metadata"]["name"].as_str()?.to_owned();
                Some(GatewayPod { name, ip: pod["status"]["podIP"].as_str()?.to_owned() })
            })
            .collect();
        gateways.sort();
        Ok(gateways)
    }

    /// Waits until exactly `count` gateways are Ready and none is leaving.
    pub async fn settled_at(&self, count: usize, deadline: Duration) -> Result<Vec<GatewayPod>> {
        let selector = format!("app.kubernetes.io/component=gateway,app.kubernetes.io/instance={}", self.name);
        until(&format!("{count} gateways, all Ready"), deadline, || async {
            let all = get(&["pods", "-n", &self.namespace, "-l", &selector]).await?;
            let ready = self.gateways().await?;
            let pods = all["items"].as_array().map_or(0, Vec::len);
            anyhow::ensure!(pods == count && ready.len() == count, "{pods} pods, {} of them Ready", ready.len());
            Ok(Some(ready))
        })
        .await
    }

    /// Where the gateways' Service listens on each node: `["ADDRESS:PORT", ...]`.
    pub async fn node_ports(&self) -> Result<Vec<String>> {
        let service = get(&["service", &format!("{}-gateway", self.name), "-n", &self.namespace]).await?;
        let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("the Service has no nodePort")?;
        let nodes = get(&["nodes"]).await?;
        let addresses = nodes["items"].as_array().context("no list of nodes")?.iter().filter_map(|node| {
            let addresses = node["status"]["addresses"].as_array()?;
            let internal = addresses.iter().find(|it| it["type"] == "InternalIP")?;
            Some(format!("{}:{port}", internal["address"].as_str()?))
        });
        Ok(addresses.collect())
    }

    /// Merges `patch` (JSON) into the spec's owner's object, as `kubectl patch --type merge` does.
    pub async fn patch(&self, patch: &str) -> Result<()> {
        kubectl(&["patch", "ec", &self.name, "-n", &self.namespace, "--type", "merge", "-p", patch]).await?;
        Ok(())
    }

    /// The number that `/scale` shows now.
    pub async fn spec_replicas(&self) -> Result<Option<u64>> {
        Ok(self.object().await?["spec"]["replicas"].as_u64())
    }
}

/// A condition of an object's status by its type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == kind)
}

fn is_true(condition: &Value) -> bool {
    condition["status"] == "True"
}
