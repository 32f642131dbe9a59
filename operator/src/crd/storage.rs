//! `spec.storage`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Resources;
use super::quantity::size;

/// Where the documents are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The Postgres with the documents: `managed` or `external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
    /// What happens to the volumes of the managed Redis and Postgres when the EditorCluster is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What happens to volumes when the EditorCluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay, and an EditorCluster of the same name finds its documents again.
    #[default]
    Retain,
    /// They are deleted, and the documents with them.
    Delete,
}

/// The Postgres with the documents.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.managed) && has(self.external))").message(
    "spec.storage.postgres has both managed and external: write one of them (neither means managed)"
))]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// A single Postgres that the operator runs, for trying: no replica, no backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedPostgres>,
    /// A Postgres of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalPostgres>,
}

/// A single Postgres that the operator runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedPostgres {
    /// The size of its volume, such as `5Gi`. It cannot be changed later.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "size")]
    pub size: String,
    /// CPU and memory. Default: requests of 100m and 128Mi, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A Postgres of one's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPostgres {
    /// The Secret, in the same namespace, with the keys that CloudNativePG writes: `uri`
    /// (`postgres://user:password@host:port/database`), or else `host`, `port`, `dbname`, `user` and `password`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

impl Default for ManagedPostgres {
    fn default() -> Self {
        Self { size: default_size(), resources: None }
    }
}

fn default_size() -> String {
    "5Gi".to_owned()
}
