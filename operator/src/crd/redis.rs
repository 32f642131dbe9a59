//! `spec.redis`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Resources;
use super::quantity::size;

/// Where the documents' logs are: `managed` or `external`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.managed) && has(self.external))").message(
    "spec.redis has both managed and external: write one of them (neither means managed)"
))]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// A Redis that the operator runs: persistent, with a password, reached by the gateways alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
    /// A Redis (7 or later) of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
}

/// A Redis that the operator runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRedis {
    /// `Standalone`: one server. `Replicated`: three servers and three sentinels, of which any one may fail. `Cluster`: six
    /// servers of a Redis Cluster, of which any one may fail, with a third of the documents on each two. It cannot be
    /// changed later.
    #[serde(default)]
    pub mode: RedisMode,
    /// The size of each server's volume, such as `1Gi`. It cannot be changed later.
    #[serde(default = "storage")]
    #[schemars(schema_with = "size")]
    pub storage: String,
    /// CPU and memory of each server. Default: requests of 50m and 64Mi, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// How many Redis servers in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RedisMode {
    /// One server with a volume.
    #[default]
    Standalone,
    /// A primary and two replicas with a volume each, and sentinels that promote a replica when the primary is gone.
    Replicated,
    /// Three primaries with a third of the documents and a replica each, and a volume for every server. They promote a
    /// replica by themselves when its primary is gone.
    Cluster,
}

impl RedisMode {
    /// How many servers that is.
    pub fn servers(self) -> i32 {
        match self {
            Self::Standalone => 1,
            Self::Replicated => 3,
            Self::Cluster => 6,
        }
    }
}

/// A Redis of one's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRedis {
    /// The Secret, in the same namespace, that has the URL.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The Secret's key whose value is the URL: `redis://[user][:password@]host[:port][/db]`,
    /// `redis+sentinel://[user][:password@]host:port,.../name[/db]` or `redis+cluster://[user][:password@]host:port,...`
    /// (`rediss` instead of `redis` for TLS). The gateways take up another value within minutes, without a restart.
    #[serde(default = "key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The certificates for TLS. Default: the servers' are signed by an authority that the gateways' image knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
}

/// The certificates for TLS with a Redis of one's own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.caSecretName) || has(self.certificateSecretName)").message(
    "spec.redis.external.tls says nothing: write caSecretName, certificateSecretName or both (or leave tls out)"
))]
#[serde(rename_all = "camelCase")]
pub struct RedisTls {
    /// The Secret, in the same namespace, whose key `ca.crt` holds the certificates that may have signed the servers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ca_secret_name: Option<String>,
    /// The Secret, in the same namespace, whose keys `tls.crt` and `tls.key` are the certificate and the key that the
    /// gateways show to servers that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_secret_name: Option<String>,
}

impl Default for ManagedRedis {
    fn default() -> Self {
        Self { mode: RedisMode::default(), storage: storage(), resources: None }
    }
}

fn storage() -> String {
    "1Gi".to_owned()
}

fn key() -> String {
    "url".to_owned()
}
