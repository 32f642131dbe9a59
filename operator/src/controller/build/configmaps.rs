//! What the managed stores read at their start. The files stand beside this one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Component, metadata};
use crate::controller::validate::{PostgresPlan, RedisPlan, Validated};

/// The files of a managed Redis by their names.
pub(super) const REDIS_FILES: [(&str, &str); 2] =
    [("redis.conf", include_str!("files/redis.conf")), ("start.sh", include_str!("files/redis-start.sh"))];
/// The files of a managed Postgres by their names.
pub(super) const POSTGRES_FILES: [(&str, &str); 2] =
    [("pg_hba.conf", include_str!("files/pg_hba.conf")), ("start.sh", include_str!("files/postgres-start.sh"))];

pub(super) fn redis(plan: &Validated) -> Option<ConfigMap> {
    let managed = matches!(plan.redis, RedisPlan::Managed { .. });
    managed.then(|| config_map(plan, Component::Redis, REDIS_FILES))
}

pub(super) fn postgres(plan: &Validated) -> Option<ConfigMap> {
    let managed = matches!(plan.postgres, PostgresPlan::Managed { .. });
    managed.then(|| config_map(plan, Component::Postgres, POSTGRES_FILES))
}

fn config_map<const N: usize>(plan: &Validated, component: Component, files: [(&str, &str); N]) -> ConfigMap {
    let data: BTreeMap<_, _> = files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    ConfigMap { metadata: metadata(plan, component), data: Some(data), ..ConfigMap::default() }
}
