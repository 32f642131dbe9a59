//! `spec.routing`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How people reach the gateways.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// Where the gateways' Service can be reached.
    #[serde(default)]
    pub expose: Expose,
}

/// Where the gateways' Service can be reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type == 'NodePort'").message(
    "spec.routing.expose.nodePort needs type: NodePort: write that, or leave nodePort out"
))]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// `ClusterIP`: inside the cluster alone. `NodePort`: on a port of every node as well.
    #[serde(default, rename = "type")]
    pub kind: ExposeType,
    /// The nodes' port. Left out: Kubernetes chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
}

/// Where the gateways' Service can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ExposeType {
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    NodePort,
}
