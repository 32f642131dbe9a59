//! The custom resource `EditorCluster` as people write it and as the operator answers in its status.
//!
//! What a schema or a CEL rule can refuse is refused there, by `kubectl apply`, with a sentence that says what to write.
//! Rules stand on the sections and not on `spec`: a rule on `spec` that gets stricter would block `/scale` on objects
//! that were accepted before. The exceptions compare old and new sizes and modes, which `/scale` never changes.
#![allow(unreachable_pub, reason = "KubeSchema derives a copy of each public struct inside a function")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod autoscaling;
mod gateway;
mod history;
mod quantity;
mod redis;
mod routing;
mod status;
mod storage;

pub use autoscaling::{Autoscaling, ScaleDown};
pub use gateway::{Api, Durability, Gateway, Limits};
pub use history::History;
pub use quantity::Resources;
pub use redis::{ExternalRedis, ManagedRedis, Redis, RedisMode, RedisTls};
pub use routing::{Expose, ExposeType, Routing};
pub use status::{ConditionType, EditorClusterStatus, Reason};
pub use storage::{DeletionPolicy, ExternalPostgres, ManagedPostgres, Postgres, Storage};

/// Longer names would make children whose names Kubernetes refuses (a StatefulSet's pods carry a hash as a label).
pub const MAX_NAME: usize = 40;

/// A collaborative editing back end: gateways, Redis, Postgres, a Service and an autoscaler.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "editorcluster.io",
    version = "v1alpha1",
    kind = "EditorCluster",
    namespaced,
    status = "EditorClusterStatus",
    derive = "PartialEq",
    shortname = "ec",
    category = "all",
    cel,
    doc = "An EditorCluster is a collaborative editing back end: gateways that scale with their connections, Redis, Postgres and a Service.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Connections", type_ = "integer", json_path = ".status.connections"),
    printcolumn(name = "Documents", type_ = "integer", json_path = ".status.documents"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message(
        "metadata.name may have 40 characters, so that the names of everything made from it fit: write a shorter name"
    )
)]
#[x_kube(
    validation = Rule::new(
        "(has(self.redis) && has(self.redis.external)) || (has(oldSelf.redis) && has(oldSelf.redis.external)) || \
         (has(self.redis) && has(self.redis.managed) ? self.redis.managed.storage : '1Gi') == \
         (has(oldSelf.redis) && has(oldSelf.redis.managed) ? oldSelf.redis.managed.storage : '1Gi')"
    ).message("spec.redis.managed.storage cannot be changed, because a claim's template cannot: write the size it had (1Gi when none was written)"),
    validation = Rule::new(
        "(has(self.redis) && has(self.redis.external)) || (has(oldSelf.redis) && has(oldSelf.redis.external)) || \
         (has(self.redis) && has(self.redis.managed) ? self.redis.managed.mode : 'Standalone') == \
         (has(oldSelf.redis) && has(oldSelf.redis.managed) ? oldSelf.redis.managed.mode : 'Standalone')"
    ).message("spec.redis.managed.mode cannot be changed, because one server cannot become many while people edit, nor another kind of many: write the mode it had (Standalone when none was written)"),
    validation = Rule::new(
        "(has(self.storage) && has(self.storage.postgres) && has(self.storage.postgres.external)) || \
         (has(oldSelf.storage) && has(oldSelf.storage.postgres) && has(oldSelf.storage.postgres.external)) || \
         (has(self.storage) && has(self.storage.postgres) && has(self.storage.postgres.managed) ? self.storage.postgres.managed.size : '5Gi') == \
         (has(oldSelf.storage) && has(oldSelf.storage.postgres) && has(oldSelf.storage.postgres.managed) ? oldSelf.storage.postgres.managed.size : '5Gi')"
    ).message("spec.storage.postgres.managed.size cannot be changed, because a claim's template cannot: write the size it had (5Gi when none was written)"),
)]
#[serde(rename_all = "camelCase")]
pub struct EditorClusterSpec {
    /// The image of the gateways. Default: the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The number of gateways that is wanted now. Leave it out of manifests: the autoscaler writes it through `/scale`.
    // No schema default: a manifest applied again would set it, and take away gateways in the middle of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// The gateways' resources, places, limits and drain.
    #[serde(default)]
    pub gateway: Gateway,
    /// How the number of gateways follows the load.
    #[serde(default)]
    pub autoscaling: Autoscaling,
    /// Where the documents' logs are. Left out: a Redis of its own, made and kept by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Where the documents are. Left out: a small Postgres of its own, for trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// What is kept of documents as they were, and of deleted ones.
    #[serde(default)]
    pub history: History,
    /// How people reach the gateways.
    #[serde(default)]
    pub routing: Routing,
    /// The editor page.
    #[serde(default)]
    pub web: Web,
    /// Who may reach Redis and Postgres.
    #[serde(default)]
    pub network_policy: NetworkPolicySection,
}

/// The editor page that the gateways serve at `/`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Web {
    /// Whether the gateways serve the editor page.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// NetworkPolicies around the managed stores.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySection {
    /// Whether Redis and Postgres can be reached from the gateways' pods alone. It takes a network that enforces it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for Web {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for NetworkPolicySection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn yes() -> bool {
    true
}

/// The CustomResourceDefinition that is committed as `crds/editorclusters.yaml` and installed by the chart.
///
/// Nothing in it is nullable: Kubernetes then drops a `null` before it sets defaults and asks the rules, so that
/// `managed: null` means the same as no `managed`.
///
/// # Errors
///
/// The schema does not survive a round trip through JSON; a test would have said so.
pub fn definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(EditorCluster::crd())?;
    drop_nullable(&mut definition);
    serde_json::from_value(definition)
}

fn drop_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| !(key == "nullable" && value.is_boolean()));
            fields.values_mut().for_each(drop_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nullable),
        _ => {}
    }
}
