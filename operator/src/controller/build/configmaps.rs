//! What the managed stores read at their start. The files stand beside this one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Component, metadata, redis_mode};
use crate::controller::validate::{PostgresPlan, Validated};
use crate::crd::RedisMode;

/// A file's name and its text.
type File = (&'static str, &'static str);

const REDIS_CONF: File = ("redis.conf", include_str!("files/redis.conf"));
const STANDALONE_FILES: &[File] = &[REDIS_CONF, ("start.sh", include_str!("files/redis-start.sh"))];
const REDIS_COMMON: File = ("common.sh", include_str!("files/redis-common.sh"));
const REPLICATED_FILES: &[File] = &[
    REDIS_CONF,
    REDIS_COMMON,
    ("primary.sh", include_str!("files/redis-primary.sh")),
    ("start.sh", include_str!("files/redis-replicated-start.sh")),
    ("stop.sh", include_str!("files/redis-replicated-stop.sh")),
    ("sentinel.sh", include_str!("files/redis-sentinel-start.sh")),
];
const CLUSTER_FILES: &[File] = &[
    REDIS_CONF,
    REDIS_COMMON,
    ("cluster.sh", include_str!("files/redis-cluster.sh")),
    ("start.sh", include_str!("files/redis-cluster-start.sh")),
    ("keep.sh", include_str!("files/redis-cluster-keep.sh")),
    ("ready.sh", include_str!("files/redis-cluster-ready.sh")),
    ("stop.sh", include_str!("files/redis-cluster-stop.sh")),
];
/// The files of a managed Postgres.
pub(super) const POSTGRES_FILES: &[File] =
    &[("pg_hba.conf", include_str!("files/pg_hba.conf")), ("start.sh", include_str!("files/postgres-start.sh"))];

/// The files of a managed Redis.
pub(super) fn redis_files(mode: RedisMode) -> &'static [File] {
    match mode {
        RedisMode::Standalone => STANDALONE_FILES,
        RedisMode::Replicated => REPLICATED_FILES,
        RedisMode::Cluster => CLUSTER_FILES,
    }
}

pub(super) fn redis(plan: &Validated) -> Option<ConfigMap> {
    redis_mode(plan).map(|mode| config_map(plan, Component::Redis, redis_files(mode)))
}

pub(super) fn postgres(plan: &Validated) -> Option<ConfigMap> {
    let managed = matches!(plan.postgres, PostgresPlan::Managed { .. });
    managed.then(|| config_map(plan, Component::Postgres, POSTGRES_FILES))
}

fn config_map(plan: &Validated, component: Component, files: &[File]) -> ConfigMap {
    let data: BTreeMap<_, _> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    ConfigMap { metadata: metadata(plan, component), data: Some(data), ..ConfigMap::default() }
}
