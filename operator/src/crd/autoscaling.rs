//! `spec.autoscaling`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How the number of gateways follows the load.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message(
        "spec.autoscaling.minReplicas must not be above maxReplicas (default 10): write a smaller minReplicas or a larger maxReplicas"
    ).field_path(".minReplicas"),
    validation = Rule::new("self.connectionsPerReplica >= 1").message(
        "spec.autoscaling.connectionsPerReplica must be 1 or more: write how many connections one gateway should hold, such as 5000"
    ).field_path(".connectionsPerReplica")
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Gateways at least.
    #[serde(default = "min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Gateways at most.
    #[serde(default = "max_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Connections that one gateway should hold; there are as many gateways as that takes.
    #[serde(default = "connections_per_replica")]
    #[schemars(range(max = 1_000_000))]
    pub connections_per_replica: i32,
    /// Scale up as well when the gateways use more than this percentage of the CPU that they request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization: Option<i32>,
    /// Scale up as well when the gateways use more than this percentage of the memory that they request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory_utilization: Option<i32>,
    /// How gateways are taken away.
    #[serde(default)]
    pub scale_down: ScaleDown,
}

/// How gateways are taken away.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// For how many seconds fewer must have been enough. Default: the cluster's own (300).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<i32>,
    /// Gateways that are drained at the same time, at most.
    #[serde(default = "step")]
    #[schemars(range(min = 1, max = 100))]
    pub step: i32,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            min_replicas: min_replicas(),
            max_replicas: max_replicas(),
            connections_per_replica: connections_per_replica(),
            cpu_utilization: None,
            memory_utilization: None,
            scale_down: ScaleDown::default(),
        }
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self { stabilization_seconds: None, step: step() }
    }
}

fn min_replicas() -> i32 {
    2
}

fn max_replicas() -> i32 {
    10
}

fn connections_per_replica() -> i32 {
    5_000
}

fn step() -> i32 {
    1
}
