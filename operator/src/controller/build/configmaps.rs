//! What the managed stores read at their start. The files stand beside this one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Component, is_replicated, metadata};
use crate::controller::validate::{PostgresPlan, RedisPlan, Validated};

/// A file's name and its text.
type File = (&'static str, &'static str);

const REDIS_CONF: File = ("redis.conf", include_str!("files/redis.conf"));
const STANDALONE_FILES: &[File] = &[REDIS_CONF, ("start.sh", include_str!("files/redis-start.sh"))];
const REPLICATED_FILES: &[File] = &[
    REDIS_CONF,
    ("primary.sh", include_str!("files/redis-primary.sh")),
    ("start.sh", include_str!("files/redis-replicated-start.sh")),
    ("stop.sh", include_str!("files/redis-replicated-stop.sh")),
    ("sentinel.sh", include_str!("files/redis-sentinel-start.sh")),
];
/// The files of a managed Postgres.
pub(super) const POSTGRES_FILES: &[File] =
    &[("pg_hba.conf", include_str!("files/pg_hba.conf")), ("start.sh", include_str!("files/postgres-start.sh"))];

/// The files of a managed Redis.
pub(super) fn redis_files(plan: &Validated) -> &'static [File] {
    if is_replicated(plan) { REPLICATED_FILES } else { STANDALONE_FILES }
}

pub(super) fn redis(plan: &Validated) -> Option<ConfigMap> {
    let managed = matches!(plan.redis, RedisPlan::Managed { .. });
    managed.then(|| config_map(plan, Component::Redis, redis_files(plan)))
}

pub(super) fn postgres(plan: &Validated) -> Option<ConfigMap> {
    let managed = matches!(plan.postgres, PostgresPlan::Managed { .. });
    managed.then(|| config_map(plan, Component::Postgres, POSTGRES_FILES))
}

fn config_map(plan: &Validated, component: Component, files: &[File]) -> ConfigMap {
    let data: BTreeMap<_, _> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    ConfigMap { metadata: metadata(plan, component), data: Some(data), ..ConfigMap::default() }
}
