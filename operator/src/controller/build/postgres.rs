//! The managed Postgres: one server with a volume and a password, for trying.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, ExecAction, Lifecycle, LifecycleHandler};

use super::configmaps::POSTGRES_FILES;
use super::pod::{config_volume, env, env_from_secret, every, exec, memory_volume, mount, read_only, requirements};
use super::store::{Store, container, store};
use super::{Component, DATABASE, POSTGRES_PORT, child_name};
use crate::controller::validate::{PostgresPlan, Validated};

const IS_READY: [&str; 7] = ["pg_isready", "-h", "127.0.0.1", "-U", DATABASE, "-d", DATABASE];

pub(super) fn build(plan: &Validated) -> Option<StatefulSet> {
    let PostgresPlan::Managed { image, size, resources, password } = &plan.postgres else { return None };
    let name = child_name(&plan.name, Component::Postgres);
    let interrupt = ["/bin/sh", "-c", "kill -INT 1"].map(str::to_owned).into();
    let rest = Container {
        image: Some(image.clone()),
        env: Some(vec![
            // A directory below the volume's root: that one may hold lost+found and belong to somebody else.
            env("PGDATA", "/var/lib/postgresql/data/pgdata"),
            env_from_secret("POSTGRES_PASSWORD", &name, "password"),
        ]),
        resources: Some(requirements(resources.as_ref(), "100m", "128Mi")),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/postgresql/data"),
            read_only(mount("config", "/etc/editorcluster")),
            mount("run", "/run/postgresql"),
            mount("shm", "/dev/shm"),
            mount("tmp", "/tmp"),
        ]),
        // SIGTERM makes Postgres wait for its clients, who do not leave; SIGINT ends them and it in good order.
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction { command: Some(interrupt) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        startup_probe: Some(every(2, 5, 150, exec(&IS_READY))),
        liveness_probe: Some(every(15, 10, 4, exec(&IS_READY))),
        readiness_probe: Some(every(3, 5, 2, exec(&IS_READY))),
        ..Container::default()
    };
    Some(store(
        plan,
        Store {
            component: Component::Postgres,
            servers: 1,
            containers: vec![container(Component::Postgres.as_str(), POSTGRES_PORT, "start.sh", rest)],
            volumes: vec![
                config_volume("config", &name),
                memory_volume("run", "1Mi"),
                memory_volume("shm", "256Mi"),
                memory_volume("tmp", "16Mi"),
            ],
            size,
            files: POSTGRES_FILES,
            password,
        },
    ))
}
