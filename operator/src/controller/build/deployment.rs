//! The gateways.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, PodSpec, PodTemplateSpec, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sha2::{Digest, Sha256};

use super::pod::{
    container_security, env, env_from_secret, every, http, memory_volume, mount, pod_security, read_only, requirements,
    secrets_volume,
};
use super::{
    ADMIN_PORT, CONFIG_HASH, Component, DATABASE, POSTGRES_PORT, PUBLIC_PORT, TEMPLATE_HASH, child_name,
    label_selector, labels, metadata, redis, selector, services,
};
use crate::controller::validate::{PostgresPlan, RedisPlan, Validated, short};
use crate::crd::{Api, Durability, Gateway};

/// The user and group of the gateway's image.
const USER: i64 = 65_532;
/// After the last session is closed: what is not in the database yet is written, seconds.
const FLUSH: i32 = 15;
/// For what nobody thought of, seconds.
const SLACK: i32 = 10;

/// Where the gateways find the URL and the certificates of a Redis of one's own.
const REDIS_FOLDER: &str = "/etc/editorcluster/redis";
const REDIS_VOLUME: &str = "redis";

/// Where a gateway says which document it is working on. The volume outlives a container that was killed, so that the next
/// one in the pod knows; in memory, so that a mark never waits for a disk.
const MARKS_FOLDER: &str = "/var/lib/editorcluster/marks";
const MARKS_VOLUME: &str = "marks";
/// Sixteen dead gateways' marks, and those of the one that runs.
const MARKS_SIZE: &str = "1Mi";

/// How long a gateway may take to end, in seconds.
pub fn grace_seconds(gateway: &Gateway) -> i32 {
    gateway.settle_seconds + gateway.drain_window_seconds + FLUSH + SLACK
}

pub(super) fn build(plan: &Validated, replicas: i32) -> Deployment {
    let template = template(plan);
    let mut metadata = metadata(plan, Component::Gateway);
    metadata.annotations = Some([(TEMPLATE_HASH.to_owned(), hash(&template))].into());
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: label_selector(plan, Component::Gateway),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn hash(template: &PodTemplateSpec) -> String {
    // Maps are ordered, so equal templates have equal text. A template always has one.
    short(&Sha256::digest(serde_json::to_vec(template).unwrap_or_default()))
}

fn template(plan: &Validated) -> PodTemplateSpec {
    let section = &plan.gateway.section;
    let node_selector = &section.node_selector;
    let tolerations = &plan.gateway.tolerations;
    let annotations: BTreeMap<_, _> = [(CONFIG_HASH.to_owned(), plan.gateway.secrets_hash.clone())].into();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(plan, Component::Gateway)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(child_name(&plan.name, Component::Gateway)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace_seconds(section).into()),
            security_context: Some(pod_security(USER)),
            // Empty ones are left out, so that others may own them.
            node_selector: (!node_selector.is_empty()).then(|| node_selector.clone()),
            tolerations: (!tolerations.is_empty()).then(|| tolerations.clone()),
            affinity: plan.gateway.affinity.clone(),
            topology_spread_constraints: Some(vec![TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "kubernetes.io/hostname".to_owned(),
                when_unsatisfiable: "ScheduleAnyway".to_owned(),
                label_selector: Some(label_selector(plan, Component::Gateway)),
                // Only pods of the same version are spread, or a rollout would end lopsided.
                match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
                ..TopologySpreadConstraint::default()
            }]),
            containers: vec![container(plan)],
            volumes: Some(volumes(plan)),
            ..PodSpec::default()
        }),
    }
}

fn container(plan: &Validated) -> Container {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: Component::Gateway.as_str().to_owned(),
        image: Some(plan.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["gateway".to_owned()]),
        env: Some(environment(plan)),
        volume_mounts: Some(mounts(plan)),
        ports: Some(vec![port("http", PUBLIC_PORT), port("admin", ADMIN_PORT)]),
        resources: Some(requirements(plan.gateway.section.resources.as_ref(), "100m", "128Mi")),
        security_context: Some(container_security()),
        // A gateway that waits for Redis or Postgres is alive: only one that does not answer at all is restarted.
        liveness_probe: Some(every(10, 5, 6, http("/livez", "admin"))),
        readiness_probe: Some(every(2, 2, 2, http("/readyz", "admin"))),
        ..Container::default()
    }
}

fn volumes(plan: &Validated) -> Vec<Volume> {
    let files = redis_files(plan).map(|files| secrets_volume(REDIS_VOLUME, &files));
    std::iter::once(memory_volume(MARKS_VOLUME, MARKS_SIZE)).chain(files).collect()
}

fn mounts(plan: &Validated) -> Vec<VolumeMount> {
    let files = redis_files(plan).map(|_| read_only(mount(REDIS_VOLUME, REDIS_FOLDER)));
    std::iter::once(mount(MARKS_VOLUME, MARKS_FOLDER)).chain(files).collect()
}

fn environment(plan: &Validated) -> Vec<EnvVar> {
    let section = &plan.gateway.section;
    let durability = match section.durability {
        Durability::Log => "log",
        Durability::Database => "database",
    };
    let api = match section.api {
        Api::None => "off",
        Api::Admin => "admin",
        Api::Public => "public",
    };
    let history = &plan.history;
    let mut variables = redis_url(plan);
    variables.extend(database_url(plan));
    variables.extend([
        env("EDITORCLUSTER_TARGET", "socket"),
        env("EDITORCLUSTER_ADMIN_LISTEN", format!("0.0.0.0:{ADMIN_PORT}")),
        env("EDITORCLUSTER_DURABILITY", durability),
        env("EDITORCLUSTER_SETTLE", format!("{}s", section.settle_seconds)),
        env("EDITORCLUSTER_DRAIN_WINDOW", format!("{}s", section.drain_window_seconds)),
        env("EDITORCLUSTER_MAX_CONNECTIONS", section.limits.connections.to_string()),
        env("EDITORCLUSTER_MAX_MESSAGE_BYTES", section.limits.message_bytes.to_string()),
        env("EDITORCLUSTER_MAX_DOCUMENT_BYTES", section.limits.document_bytes.to_string()),
        env("EDITORCLUSTER_API", api),
        env("EDITORCLUSTER_MARKS_DIR", MARKS_FOLDER),
        env("EDITORCLUSTER_SWEEP_EVERY", format!("{}s", section.sweep_seconds)),
        env("EDITORCLUSTER_VERSIONS_KEEP", history.keep.to_string()),
        env("EDITORCLUSTER_VERSIONS_KEEP_FOR", format!("{}h", history.keep_hours)),
        env("EDITORCLUSTER_VERSION_EVERY", format!("{}s", history.every_seconds)),
        env("EDITORCLUSTER_VERSION_PAUSE", format!("{}s", history.pause_seconds)),
        env("EDITORCLUSTER_TOMBSTONE", format!("{}h", history.tombstone_hours)),
        env("EDITORCLUSTER_WEB", plan.web.to_string()),
        env("EDITORCLUSTER_LOG_FORMAT", "json"),
    ]);
    // None are left out, or every cluster's gateways would roll when the operator begins to know this.
    if !history.keep_deleted.is_empty() {
        // A name may have what stands for a variable.
        let patterns = history.keep_deleted.join("\n").replace('$', "$$");
        variables.push(env("EDITORCLUSTER_KEEP_DELETED", patterns));
    }
    variables
}

// The kubelet puts `$(NAME)` of an earlier variable in.

fn redis_url(plan: &Validated) -> Vec<EnvVar> {
    match &plan.redis {
        RedisPlan::Managed { .. } => {
            vec![
                env_from_secret("REDIS_PASSWORD", &child_name(&plan.name, Component::Redis), "password"),
                env("EDITORCLUSTER_REDIS_URL", redis::url(plan, "$(REDIS_PASSWORD)")),
            ]
        }
        RedisPlan::External { tls, .. } => {
            let file = |name: &str, file: &str| env(name, format!("{REDIS_FOLDER}/{file}"));
            let mut variables = vec![file("EDITORCLUSTER_REDIS_URL_FILE", "url")];
            if tls.ca_secret_name.is_some() {
                variables.push(file("EDITORCLUSTER_REDIS_CA_FILE", "ca.crt"));
            }
            if tls.certificate_secret_name.is_some() {
                variables.push(file("EDITORCLUSTER_REDIS_CERT_FILE", "tls.crt"));
                variables.push(file("EDITORCLUSTER_REDIS_KEY_FILE", "tls.key"));
            }
            variables
        }
    }
}

/// Secret, key and file name of what the gateways read about a Redis of one's own. Files and not variables: they change
/// in a running pod when the Secret does. None: the Redis is ours.
fn redis_files(plan: &Validated) -> Option<Vec<(&str, &str, &str)>> {
    let RedisPlan::External { secret, key, tls } = &plan.redis else { return None };
    let mut files = vec![(secret.as_str(), key.as_str(), "url")];
    files.extend(tls.ca_secret_name.iter().map(|secret| (secret.as_str(), "ca.crt", "ca.crt")));
    for file in ["tls.crt", "tls.key"] {
        files.extend(tls.certificate_secret_name.iter().map(|secret| (secret.as_str(), file, file)));
    }
    Some(files)
}

fn database_url(plan: &Validated) -> Vec<EnvVar> {
    match &plan.postgres {
        PostgresPlan::Managed { .. } => {
            let host = services::host(plan, Component::Postgres);
            let url = format!("postgres://{DATABASE}:$(DATABASE_PASSWORD)@{host}:{POSTGRES_PORT}/{DATABASE}");
            let secret = child_name(&plan.name, Component::Postgres);
            vec![env_from_secret("DATABASE_PASSWORD", &secret, "password"), env("EDITORCLUSTER_DATABASE_URL", url)]
        }
        PostgresPlan::ExternalUri { secret } => vec![env_from_secret("EDITORCLUSTER_DATABASE_URL", secret, "uri")],
        PostgresPlan::ExternalParts { secret, user } => {
            let parts = [
                ("DATABASE_USER", user.as_str()),
                ("DATABASE_PASSWORD", "password"),
                ("DATABASE_HOST", "host"),
                ("DATABASE_PORT", "port"),
                ("DATABASE_NAME", "dbname"),
            ];
            let mut variables: Vec<_> = parts.map(|(name, key)| env_from_secret(name, secret, key)).into();
            let url =
                "postgres://$(DATABASE_USER):$(DATABASE_PASSWORD)@$(DATABASE_HOST):$(DATABASE_PORT)/$(DATABASE_NAME)";
            variables.push(env("EDITORCLUSTER_DATABASE_URL", url));
            variables
        }
    }
}

/// The selector of the gateways' pods as text, for `/scale`.
pub fn selector_text(cluster: &str) -> String {
    let pairs = selector(cluster, Component::Gateway);
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
