//! The managed Redis: one server with a volume and a password, or three of them with a sentinel beside each.
//!
//! A sentinel is in the server's pod and not in one of its own: it would be on the same nodes anyway, and so three pods
//! and three volumes are all that there is. What it has learned is on the server's volume.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, EnvVar, ExecAction, Lifecycle, LifecycleHandler};

use super::configmaps::redis_files;
use super::pod::{
    config_volume, env, env_from_field, env_from_secret, every, exec, memory_volume, mount, read_only, requirements,
};
use super::store::{Store, container, store};
use super::{Component, REDIS_PORT, SENTINEL_PORT, child_name, is_replicated, services};
use crate::controller::validate::{RedisPlan, Validated};

/// Servers of a replicated Redis, and sentinels: two are a majority.
pub const SERVERS: i32 = 3;
/// What the sentinels call the primary; it stands in their start script as well.
pub(super) const PRIMARY: &str = "documents";
const SENTINEL: &str = "sentinel";

/// Answers when Redis has loaded its data; `redis-cli` reads the password from `REDISCLI_AUTH`.
const PING: [&str; 3] = ["/bin/sh", "-c", r#"[ "$(redis-cli ping)" = PONG ]"#];
/// A primary, or a replica that has all that its primary has: a rollout goes on only then.
const SERVES: [&str; 3] =
    ["/bin/sh", "-c", r#"case "$(redis-cli role)" in master* | *connected*) ;; *) exit 1 ;; esac"#];
/// The sentinel sees the primary and enough of the others to promote a replica.
const WATCHES: [&str; 3] =
    ["/bin/sh", "-c", r#"case "$(redis-cli -p 26379 sentinel ckquorum documents)" in OK*) ;; *) exit 1 ;; esac"#];

pub(super) fn build(plan: &Validated) -> Option<StatefulSet> {
    let RedisPlan::Managed { mode: _, image, storage, resources, password } = &plan.redis else { return None };
    let replicated = is_replicated(plan);
    let name = child_name(&plan.name, Component::Redis);
    let server = Container {
        image: Some(image.clone()),
        env: Some(environment(plan)),
        resources: Some(requirements(resources.as_ref(), "50m", "64Mi")),
        volume_mounts: Some(vec![
            mount("data", "/data"),
            read_only(mount("config", "/etc/editorcluster")),
            mount("run", "/run/redis"),
        ]),
        lifecycle: replicated.then(hand_over),
        startup_probe: Some(every(2, 5, 150, exec(&["redis-cli", "ping"]))),
        // Loading is not death: the answer may be anything.
        liveness_probe: Some(every(15, 10, 4, exec(&["redis-cli", "ping"]))),
        readiness_probe: Some(every(3, 5, 2, exec(if replicated { &SERVES } else { &PING }))),
        ..Container::default()
    };
    let mut containers = vec![container(Component::Redis.as_str(), REDIS_PORT, "start.sh", server)];
    if replicated {
        containers.push(sentinel(plan, image));
    }
    Some(store(
        plan,
        Store {
            component: Component::Redis,
            servers: if replicated { SERVERS } else { 1 },
            containers,
            volumes: vec![config_volume("config", &name), memory_volume("run", "1Mi")],
            size: storage,
            files: redis_files(plan),
            password,
        },
    ))
}

fn sentinel(plan: &Validated, image: &str) -> Container {
    let alive = || exec(&["redis-cli", "-p", "26379", "ping"]);
    let rest = Container {
        image: Some(image.to_owned()),
        env: Some(environment(plan)),
        resources: Some(requirements(None, "10m", "16Mi")),
        volume_mounts: Some(vec![mount("data", "/data"), read_only(mount("config", "/etc/editorcluster"))]),
        startup_probe: Some(every(2, 5, 150, alive())),
        liveness_probe: Some(every(15, 10, 4, alive())),
        readiness_probe: Some(every(3, 5, 2, exec(&WATCHES))),
        ..Container::default()
    };
    container(SENTINEL, SENTINEL_PORT, "sentinel.sh", rest)
}

fn environment(plan: &Validated) -> Vec<EnvVar> {
    let secret = child_name(&plan.name, Component::Redis);
    let mut variables = vec![
        env_from_secret("REDIS_PASSWORD", &secret, "password"),
        env_from_secret("REDISCLI_AUTH", &secret, "password"),
    ];
    if is_replicated(plan) {
        let host = services::host(plan, Component::Redis);
        variables.extend([
            env_from_field("POD_NAME", "metadata.name"),
            env("REDIS_SELF", format!("$(POD_NAME).{host}")),
            env("REDIS_PEERS", servers(plan).join(" ")),
        ]);
    }
    variables
}

/// The names of all servers. They stay true when a pod gets another address.
pub(super) fn servers(plan: &Validated) -> Vec<String> {
    let (name, host) = (child_name(&plan.name, Component::Redis), services::host(plan, Component::Redis));
    (0..SERVERS).map(|number| format!("{name}-{number}.{host}")).collect()
}

/// How clients find the primary; `password` may also be a variable that the kubelet puts in.
pub(super) fn url(plan: &Validated, password: &str) -> String {
    if is_replicated(plan) {
        let sentinels: Vec<_> = servers(plan).into_iter().map(|host| format!("{host}:{SENTINEL_PORT}")).collect();
        format!("redis+sentinel://:{password}@{}/{PRIMARY}?sentinel-password={password}", sentinels.join(","))
    } else {
        format!("redis://:{password}@{}:{REDIS_PORT}", services::host(plan, Component::Redis))
    }
}

/// A primary that is asked to end makes another one the primary first, which is faster than being missed.
fn hand_over() -> Lifecycle {
    let command = ["/bin/sh", "/etc/editorcluster/stop.sh"].map(str::to_owned).into();
    let pre_stop =
        LifecycleHandler { exec: Some(ExecAction { command: Some(command) }), ..LifecycleHandler::default() };
    Lifecycle { pre_stop: Some(pre_stop), ..Lifecycle::default() }
}
