//! `spec.gateway`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Resources;

/// The gateways' resources, places, limits and drain.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// CPU and memory of each gateway. Default: requests of 100m and 128Mi, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels that a node must have to run a gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the gateways tolerate, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub tolerations: Vec<Toleration>,
    /// Affinity, as in a pod (`nodeAffinity`, `podAffinity`, `podAntiAffinity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<Value>,
    /// What a gateway takes from its clients at most.
    #[serde(default)]
    pub limits: Limits,
    /// For how many seconds a gateway that is to end still accepts sessions, until no load balancer sends it any.
    #[serde(default = "settle_seconds")]
    #[schemars(range(min = 0, max = 120))]
    pub settle_seconds: i32,
    /// Over how many seconds its sessions are then closed, so that they do not all come back at once.
    #[serde(default = "drain_window_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_window_seconds: i32,
    /// When an edit is acknowledged: once it is in the log (Redis), or only once it is in the database.
    #[serde(default)]
    pub durability: Durability,
    /// Where REST under `/api/v1` is served. It knows no users: whoever reaches it reads, changes and deletes every
    /// document. `Admin`: on the pods' port 9090, for `kubectl port-forward` and for whoever in the cluster reaches them.
    /// `Public`: beside the WebSockets, for gateways behind something that lets nobody but your application reach `/api`.
    #[serde(default)]
    pub api: Api,
    /// How often the log is searched for documents that a crashed gateway left behind and nobody has opened since, in
    /// seconds. Of many gateways one searches each time.
    #[serde(default = "sweep_seconds")]
    #[schemars(range(min = 5, max = 86_400))]
    pub sweep_seconds: i32,
}

/// Where the REST interface is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Api {
    // Not `Off`, which is a boolean to YAML.
    #[default]
    None,
    Admin,
    Public,
}

/// When an edit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Durability {
    #[default]
    Log,
    Database,
}

/// What a gateway takes from its clients at most.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Open connections of one gateway; further ones are answered with 503.
    #[serde(default = "connections")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: i32,
    /// Bytes of one message; a longer one closes its socket.
    #[serde(default = "message_bytes")]
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub message_bytes: i64,
    /// Bytes of one document; an edit that takes it further closes its socket.
    #[serde(default = "document_bytes")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub document_bytes: i64,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            limits: Limits::default(),
            settle_seconds: settle_seconds(),
            drain_window_seconds: drain_window_seconds(),
            durability: Durability::default(),
            api: Api::default(),
            sweep_seconds: sweep_seconds(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: connections(), message_bytes: message_bytes(), document_bytes: document_bytes() }
    }
}

fn settle_seconds() -> i32 {
    5
}

fn drain_window_seconds() -> i32 {
    20
}

fn sweep_seconds() -> i32 {
    120
}

fn connections() -> i32 {
    50_000
}

fn message_bytes() -> i64 {
    16 << 20
}

fn document_bytes() -> i64 {
    64 << 20
}

/// The pod's own schema of an affinity would be half of the CRD; it is decoded, and refused in a condition, instead.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
