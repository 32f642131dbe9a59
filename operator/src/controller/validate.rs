//! Stage 2, pure: what was read becomes a plan that can be built, or the sentence that says why not.
//!
//! The API server has checked the schema and the CEL rules. They are checked again where a plan could be wrong without
//! them, because an older CRD may still be installed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::dereference::Dereferenced;
use super::settings::Images;
use crate::crd::{
    Autoscaling, DeletionPolicy, EditorCluster, Expose, ExternalPostgres, ExternalRedis, Gateway, History, MAX_NAME,
    ManagedPostgres, ManagedRedis, Reason, RedisMode, RedisTls, Resources,
};

mod secrets;

#[cfg(test)]
mod tests;

/// A plan that can be built: nothing in it is wrong, and nothing is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    pub name: String,
    pub namespace: String,
    pub owner: OwnerReference,
    pub image: String,
    pub gateway: GatewayPlan,
    pub autoscaling: Autoscaling,
    pub redis: RedisPlan,
    pub postgres: PostgresPlan,
    pub deletion_policy: DeletionPolicy,
    pub expose: Expose,
    pub history: History,
    pub web: bool,
    pub network_policy: bool,
}

/// The gateways' part, with what had to be decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayPlan {
    pub section: Gateway,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Affinity>,
    /// Changes when the secrets that the gateways start with change.
    pub secrets_hash: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RedisPlan {
    Managed { mode: RedisMode, image: String, storage: String, resources: Option<Resources>, password: Password },
    External { secret: String, key: String, tls: RedisTls },
}

#[derive(Clone, Debug, PartialEq)]
pub enum PostgresPlan {
    Managed {
        image: String,
        size: String,
        resources: Option<Resources>,
        password: Password,
    },
    /// The Secret's key `uri` is the whole URL.
    ExternalUri {
        secret: String,
    },
    /// The URL is put together from the Secret's keys; `user` is the key that has the role's name.
    ExternalParts {
        secret: String,
        user: String,
    },
}

/// A password that the operator made up: kept in a Secret, or about to be.
#[derive(Clone, PartialEq)]
pub struct Password {
    pub value: String,
    /// Whether the Secret with it exists already.
    pub stored: bool,
}

// Passwords end in no log, not even by way of a plan that is printed.
impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Password").field("stored", &self.stored).finish_non_exhaustive()
    }
}

/// Why a spec cannot be built. The message names the field and the remedy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    #[error(
        "{field} names the Secret {secret}, which does not exist in namespace {namespace}: create it, or name another"
    )]
    SecretNotFound { field: &'static str, secret: String, namespace: String },
    #[error("{field} names the Secret {secret}, which has no key {key}: add the key, or name another Secret")]
    SecretKeyMissing { field: &'static str, secret: String, key: String },
    #[error("the Secret {secret} ({field}): its key {key} {problem}")]
    SecretValueInvalid { field: &'static str, secret: String, key: String, problem: &'static str },
    #[error(
        "spec.gateway.affinity is no affinity of a pod ({0}): write nodeAffinity, podAffinity or podAntiAffinity as in a pod"
    )]
    AffinityInvalid(String),
    #[error("metadata.name has {0} characters, and {MAX_NAME} are possible: create it again with a shorter name")]
    NameTooLong(usize),
    #[error("{0}")]
    RangeInvalid(String),
    #[error("{0} has both managed and external: write one of them")]
    BothManagedAndExternal(&'static str),
}

impl Invalid {
    pub fn reason(&self) -> Reason {
        match self {
            Self::SecretNotFound { .. } => Reason::SecretNotFound,
            Self::SecretKeyMissing { .. } => Reason::SecretKeyMissing,
            Self::SecretValueInvalid { .. } => Reason::SecretValueInvalid,
            Self::AffinityInvalid(_) => Reason::AffinityInvalid,
            Self::NameTooLong(_) => Reason::NameTooLong,
            Self::RangeInvalid(_) => Reason::RangeInvalid,
            Self::BothManagedAndExternal(_) => Reason::BothManagedAndExternal,
        }
    }
}

/// Makes the plan.
///
/// # Errors
///
/// What is wrong with the spec, or with what it names.
pub fn validate(object: &EditorCluster, found: &Dereferenced, images: &Images) -> Result<Validated, Invalid> {
    let name = object.name_any();
    if name.len() > MAX_NAME {
        return Err(Invalid::NameTooLong(name.len()));
    }
    let spec = &object.spec;
    check_ranges(&spec.autoscaling)?;
    let namespace = object.namespace().unwrap_or_default();
    let redis = redis(object, found, images)?;
    let postgres = postgres(object, found, images)?;
    let affinity = match &spec.gateway.affinity {
        Some(affinity) => Some(
            serde_json::from_value(affinity.clone()).map_err(|error| Invalid::AffinityInvalid(error.to_string()))?,
        ),
        None => None,
    };
    Ok(Validated {
        gateway: GatewayPlan {
            section: spec.gateway.clone(),
            tolerations: spec.gateway.tolerations.clone(),
            affinity,
            secrets_hash: secrets_hash(object, found, &redis, &postgres),
        },
        owner: object.controller_owner_ref(&()).unwrap_or_default(),
        name,
        namespace,
        image: spec.image.clone().unwrap_or_else(|| images.gateway.clone()),
        autoscaling: spec.autoscaling.clone(),
        redis,
        postgres,
        deletion_policy: spec.storage.as_ref().map(|storage| storage.deletion_policy).unwrap_or_default(),
        expose: spec.routing.expose.clone(),
        history: spec.history.clone(),
        web: spec.web.enabled,
        network_policy: spec.network_policy.enabled,
    })
}

fn check_ranges(autoscaling: &Autoscaling) -> Result<(), Invalid> {
    let Autoscaling { min_replicas, max_replicas, connections_per_replica, .. } = autoscaling;
    let wrong = if min_replicas > max_replicas {
        format!(
            "spec.autoscaling.minReplicas ({min_replicas}) is above maxReplicas ({max_replicas}): write a smaller minReplicas or a larger maxReplicas"
        )
    } else if *min_replicas < 1 {
        format!("spec.autoscaling.minReplicas is {min_replicas}: write 1 or more")
    } else if *connections_per_replica < 1 {
        format!("spec.autoscaling.connectionsPerReplica is {connections_per_replica}: write 1 or more, such as 5000")
    } else {
        return Ok(());
    };
    Err(Invalid::RangeInvalid(wrong))
}

fn redis(object: &EditorCluster, found: &Dereferenced, images: &Images) -> Result<RedisPlan, Invalid> {
    let section = object.spec.redis.clone().unwrap_or_default();
    match (section.managed, section.external) {
        (Some(_), Some(_)) => Err(Invalid::BothManagedAndExternal("spec.redis")),
        (None, Some(ExternalRedis { secret_name, key, tls })) => {
            secrets::redis(object, &secret_name, &key, found.external_redis.as_ref())?;
            let tls = tls.unwrap_or_default();
            secrets::redis_tls(object, &tls, found)?;
            Ok(RedisPlan::External { secret: secret_name, key, tls })
        }
        (managed, None) => {
            let ManagedRedis { mode, storage, resources } = managed.unwrap_or_default();
            let password = secrets::generated(object, "redis", found.redis.as_ref(), &found.fresh.redis)?;
            Ok(RedisPlan::Managed { mode, image: images.redis.clone(), storage, resources, password })
        }
    }
}

fn postgres(object: &EditorCluster, found: &Dereferenced, images: &Images) -> Result<PostgresPlan, Invalid> {
    let section = object.spec.storage.clone().and_then(|storage| storage.postgres).unwrap_or_default();
    match (section.managed, section.external) {
        (Some(_), Some(_)) => Err(Invalid::BothManagedAndExternal("spec.storage.postgres")),
        (None, Some(ExternalPostgres { secret_name })) => {
            secrets::postgres(object, secret_name, found.external_postgres.as_ref())
        }
        (managed, None) => {
            let ManagedPostgres { size, resources } = managed.unwrap_or_default();
            let password = secrets::generated(object, "postgres", found.postgres.as_ref(), &found.fresh.postgres)?;
            Ok(PostgresPlan::Managed { image: images.postgres.clone(), size, resources, password })
        }
    }
}

/// The uid is in it so that equal passwords of two EditorClusters cannot be told by their hashes.
fn secrets_hash(object: &EditorCluster, found: &Dereferenced, redis: &RedisPlan, postgres: &PostgresPlan) -> String {
    let mut parts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    match redis {
        RedisPlan::Managed { password, .. } => drop(parts.insert("redis".to_owned(), password.value.clone().into())),
        // The gateways read a file that the kubelet keeps up to date, and connect anew when it changes: that costs
        // nobody their session, and a rollout would cost everybody theirs.
        RedisPlan::External { .. } => {}
    }
    match postgres {
        PostgresPlan::Managed { password, .. } => {
            parts.insert("postgres".to_owned(), password.value.clone().into());
        }
        PostgresPlan::ExternalUri { .. } => {
            let value = found.external_postgres.as_ref().and_then(|secret| secret.get("uri")).cloned();
            parts.insert("postgres".to_owned(), value.unwrap_or_default());
        }
        PostgresPlan::ExternalParts { .. } => {
            let all = found.external_postgres.iter().flatten();
            parts.extend(all.map(|(key, value)| (format!("postgres/{key}"), value.clone())));
        }
    }
    let mut hash = Sha256::new();
    hash.update(object.uid().unwrap_or_default());
    for (key, value) in parts {
        hash.update(key);
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    short(&hash.finalize())
}

/// 16 hexadecimal digits: enough to see a change, too few to guess a password by.
pub(super) fn short(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
