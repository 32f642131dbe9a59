//! What all pods have in common: they are not root, cannot write to their image, and hold no rights.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, HTTPGetAction,
    KeyToPath, ObjectFieldSelector, PodSecurityContext, Probe, ProjectedVolumeSource, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecretProjection, SecurityContext, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::crd::Resources;

pub(super) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), value_from: None }
}

pub(super) fn env_from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let selector = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

/// What the kubelet knows of the pod itself.
pub(super) fn env_from_field(name: &str, path: &str) -> EnvVar {
    let selector = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    let source = EnvVarSource { field_ref: Some(selector), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

/// A pod of user and group `id`, whose volumes are writable by that group.
pub(super) fn pod_security(id: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(id),
        run_as_group: Some(id),
        fs_group: Some(id),
        // Otherwise every mount makes all files of a volume writable by the group, which Postgres refuses to run with.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

/// The user's resources, or requests of `cpu` and `memory`.
pub(super) fn requirements(resources: Option<&Resources>, cpu: &str, memory: &str) -> ResourceRequirements {
    resources.map_or_else(
        || {
            let requests = [("cpu", cpu), ("memory", memory)];
            let requests = requests.map(|(name, value)| (name.to_owned(), Quantity(value.to_owned())));
            ResourceRequirements { requests: Some(requests.into()), ..ResourceRequirements::default() }
        },
        Resources::to_requirements,
    )
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

pub(super) fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount }
}

pub(super) fn config_volume(name: &str, config_map: &str) -> Volume {
    let source = ConfigMapVolumeSource { name: config_map.to_owned(), ..ConfigMapVolumeSource::default() };
    Volume { name: name.to_owned(), config_map: Some(source), ..Volume::default() }
}

/// A directory of files from Secrets, each given by Secret, key and file name. The kubelet keeps them up to date.
pub(super) fn secrets_volume(name: &str, files: &[(&str, &str, &str)]) -> Volume {
    let projection = |(secret, key, file): &(&str, &str, &str)| VolumeProjection {
        secret: Some(SecretProjection {
            name: (*secret).to_owned(),
            items: Some(vec![KeyToPath { key: (*key).to_owned(), path: (*file).to_owned(), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let sources = Some(files.iter().map(projection).collect());
    let source = ProjectedVolumeSource { sources, default_mode: Some(0o440) };
    Volume { name: name.to_owned(), projected: Some(source), ..Volume::default() }
}

/// An empty directory in memory, for what is secret or small.
pub(super) fn memory_volume(name: &str, size: &str) -> Volume {
    let source =
        EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: Some(Quantity(size.to_owned())) };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

pub(super) fn exec(command: &[&str]) -> Probe {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Probe { exec: Some(ExecAction { command: Some(command) }), ..Probe::default() }
}

pub(super) fn http(path: &str, port: &str) -> Probe {
    let get = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(port.to_owned()),
        ..HTTPGetAction::default()
    };
    Probe { http_get: Some(get), ..Probe::default() }
}

/// Asks every `period` seconds, waits `timeout` seconds, and gives up after `failures` in a row.
pub(super) fn every(period: i32, timeout: i32, failures: i32, probe: Probe) -> Probe {
    Probe { period_seconds: Some(period), timeout_seconds: Some(timeout), failure_threshold: Some(failures), ..probe }
}
