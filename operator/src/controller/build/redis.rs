//! The managed Redis: one server with a volume and a password, three of them with a sentinel beside each, or the six of a
//! Redis Cluster.
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
use super::{Component, REDIS_PORT, SENTINEL_PORT, child_name, redis_mode, services};
use crate::controller::validate::{RedisPlan, Validated};
use crate::crd::RedisMode;

/// What the sentinels call the primary; it stands in their start script as well.
pub(super) const PRIMARY: &str = "documents";
const SENTINEL: &str = "sentinel";

/// Answers when Redis has loaded its data; `redis-cli` reads the password from `REDISCLI_AUTH`.
const PING: [&str; 3] = ["/bin/sh", "-c", r#"[ "$(redis-cli ping)" = PONG ]"#];
/// A primary, or a replica that has all that its primary has: a rollout goes on only then.
const SERVES: [&str; 3] =
    ["/bin/sh", "-c", r#"case "$(redis-cli role)" in master* | *connected*) ;; *) exit 1 ;; esac"#];
const CLUSTER_SERVES: [&str; 2] = ["/bin/sh", "/etc/editorcluster/ready.sh"];
/// The sentinel sees the primary and enough of the others to promote a replica.
const WATCHES: [&str; 3] =
    ["/bin/sh", "-c", r#"case "$(redis-cli -p 26379 sentinel ckquorum documents)" in OK*) ;; *) exit 1 ;; esac"#];

pub(super) fn build(plan: &Validated) -> Option<StatefulSet> {
    let RedisPlan::Managed { mode, image, storage, resources, password } = &plan.redis else { return None };
    let serves: &[&str] = match mode {
        RedisMode::Standalone => &PING,
        RedisMode::Replicated => &SERVES,
        RedisMode::Cluster => &CLUSTER_SERVES,
    };
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
        lifecycle: (mode.servers() > 1).then(hand_over),
        startup_probe: Some(every(2, 5, 150, exec(&["redis-cli", "ping"]))),
        // Loading is not death: the answer may be anything.
        liveness_probe: Some(every(15, 10, 4, exec(&["redis-cli", "ping"]))),
        readiness_probe: Some(every(3, 5, 2, exec(serves))),
        ..Container::default()
    };
    let mut containers = vec![container(Component::Redis.as_str(), REDIS_PORT, "start.sh", server)];
    if *mode == RedisMode::Replicated {
        containers.push(sentinel(plan, image));
    }
    Some(store(
        plan,
        Store {
            component: Component::Redis,
            servers: mode.servers(),
            containers,
            volumes: vec![config_volume("config", &name), memory_volume("run", "1Mi")],
            size: storage,
            files: redis_files(*mode),
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
    let servers = servers(plan);
    if servers.len() > 1 {
        let host = services::host(plan, Component::Redis);
        variables.extend([
            env_from_field("POD_NAME", "metadata.name"),
            env("REDIS_SELF", format!("$(POD_NAME).{host}")),
            env("REDIS_PEERS", servers.join(" ")),
        ]);
    }
    if redis_mode(plan) == Some(RedisMode::Cluster) {
        variables.push(env_from_field("REDIS_ADDRESS", "status.podIP"));
    }
    variables
}

/// The names of all servers. They stay true when a pod gets another address.
fn servers(plan: &Validated) -> Vec<String> {
    let (name, host) = (child_name(&plan.name, Component::Redis), services::host(plan, Component::Redis));
    let count = redis_mode(plan).map_or(0, RedisMode::servers);
    (0..count).map(|number| format!("{name}-{number}.{host}")).collect()
}

/// How clients find the primary, or the primaries; `password` may also be a variable that the kubelet puts in.
pub(super) fn url(plan: &Validated, password: &str) -> String {
    let all = |port| servers(plan).iter().map(|host| format!("{host}:{port}")).collect::<Vec<_>>().join(",");
    match redis_mode(plan) {
        Some(RedisMode::Replicated) => {
            format!("redis+sentinel://:{password}@{}/{PRIMARY}?sentinel-password={password}", all(SENTINEL_PORT))
        }
        Some(RedisMode::Cluster) => format!("redis+cluster://:{password}@{}", all(REDIS_PORT)),
        Some(RedisMode::Standalone) | None => {
            format!("redis://:{password}@{}:{REDIS_PORT}", services::host(plan, Component::Redis))
        }
    }
}

/// A primary that is asked to end makes another one the primary first, which is faster than being missed.
fn hand_over() -> Lifecycle {
    let command = ["/bin/sh", "/etc/editorcluster/stop.sh"].map(str::to_owned).into();
    let pre_stop =
        LifecycleHandler { exec: Some(ExecAction { command: Some(command) }), ..LifecycleHandler::default() };
    Lifecycle { pre_stop: Some(pre_stop), ..Lifecycle::default() }
}
