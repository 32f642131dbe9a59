//! The managed Redis: one server with a volume and a password.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Container;

use super::configmaps::REDIS_FILES;
use super::pod::{config_volume, env_from_secret, every, exec, memory_volume, mount, read_only, requirements};
use super::store::{Store, store};
use super::{Component, REDIS_PORT, child_name};
use crate::controller::validate::{RedisPlan, Validated};

/// Answers when Redis has loaded its data; `redis-cli` reads the password from `REDISCLI_AUTH`.
const PING: [&str; 3] = ["/bin/sh", "-c", r#"[ "$(redis-cli ping)" = PONG ]"#];

pub(super) fn build(plan: &Validated) -> Option<StatefulSet> {
    let RedisPlan::Managed { image, storage, resources, password } = &plan.redis else { return None };
    let name = child_name(&plan.name, Component::Redis);
    let container = Container {
        image: Some(image.clone()),
        env: Some(vec![
            env_from_secret("REDIS_PASSWORD", &name, "password"),
            env_from_secret("REDISCLI_AUTH", &name, "password"),
        ]),
        resources: Some(requirements(resources.as_ref(), "50m", "64Mi")),
        volume_mounts: Some(vec![
            mount("data", "/data"),
            read_only(mount("config", "/etc/editorcluster")),
            mount("run", "/run/redis"),
        ]),
        startup_probe: Some(every(2, 5, 150, exec(&["redis-cli", "ping"]))),
        // Loading is not death: the answer may be anything.
        liveness_probe: Some(every(15, 10, 4, exec(&["redis-cli", "ping"]))),
        readiness_probe: Some(every(3, 5, 2, exec(&PING))),
        ..Container::default()
    };
    Some(store(
        plan,
        Store {
            component: Component::Redis,
            port: REDIS_PORT,
            container,
            volumes: vec![config_volume("config", &name), memory_volume("run", "1Mi")],
            size: storage,
            files: &REDIS_FILES,
            password,
        },
    ))
}
