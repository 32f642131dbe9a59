//! The passwords of the managed stores, for their first creation. The URLs are for people; pods use the password alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use super::{Component, DATABASE, POSTGRES_PORT, metadata, redis, services};
use crate::controller::validate::{Password, PostgresPlan, RedisPlan, Validated};

pub(super) fn build(plan: &Validated) -> Vec<Secret> {
    let mut secrets = Vec::new();
    if let RedisPlan::Managed { password: Password { value, stored: false }, .. } = &plan.redis {
        let url = redis::url(plan, value);
        secrets.push(secret(plan, Component::Redis, [("password", value.clone()), ("url", url)]));
    }
    if let PostgresPlan::Managed { password: Password { value, stored: false }, .. } = &plan.postgres {
        let host = services::host(plan, Component::Postgres);
        let uri = format!("postgres://{DATABASE}:{value}@{host}:{POSTGRES_PORT}/{DATABASE}");
        secrets.push(secret(plan, Component::Postgres, [("password", value.clone()), ("uri", uri)]));
    }
    secrets
}

fn secret<const N: usize>(plan: &Validated, component: Component, data: [(&str, String); N]) -> Secret {
    let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Secret {
        metadata: metadata(plan, component),
        string_data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
